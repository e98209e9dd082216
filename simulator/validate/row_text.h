#pragma once
// Words and numbers in the free text of a table's cells. Only simulator/validate includes this.
//
//   number_before("1600 Gbps node-node RoCE", " Gbps")      // 1600
//   holds_word("NVLink intra; AWS EFA inter", "efa")        // true: case does not count

#include <optional>
#include <string>
#include <string_view>

namespace shardscope {

bool holds_word(std::string_view text, std::string_view part);                      ///< anywhere in the text
std::optional<double> number_before(std::string_view text, std::string_view unit);  ///< the first such
std::optional<double> number_after(std::string_view text, std::string_view word);   ///< likewise
std::string without_parentheses(std::string_view text);  ///< "DGX-GB300 (NVL72)" -> "DGX-GB300"

}  // namespace shardscope
