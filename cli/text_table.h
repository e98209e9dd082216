#pragma once
// Tables for people: columns as wide as their widest cell, numbers to the right.
//
//   TextTable table({"run", "step ms"});   // the first column is aligned left, the others right
//   table.add({"zero-2", "123.4"});
//   std::fputs(table.text().c_str(), stdout);

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace shardscope::cli {

class TextTable {
 public:
  /// `left`: how many columns from the first on are aligned left.
  explicit TextTable(std::vector<std::string> head, std::size_t left = 1) : rows_{std::move(head)}, left_(left) {}
  /// A row may be shorter than the head; the rest stays empty.
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.size() == 1; }
  /// Head, a line, rows; each line indented by two blanks. Control characters in cells become '?'.
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::size_t left_;
};

std::string milliseconds(double seconds);      ///< "12.345"
std::string ns_in_ms(std::int64_t ns);         ///< "12.345"
std::string mebibytes(std::int64_t bytes);     ///< "12.3", "0.004": 1 MiB is 2^20 bytes
std::string rate_text(double per_second);      ///< "1234", "-" if it is 0: not known
std::string percent(double part, double of);   ///< "12.3 %", "-" if `of` is 0
std::string signed_percent(double ratio);      ///< "+3.1 %" for 0.031
std::string printable(std::string_view text);  ///< control characters become '?'

}  // namespace shardscope::cli
