#pragma once
// A table of texts, with the numbers behind them to sort by: a chart's twin, or a list of facts. No Qt.
//
//   TableData table{{"op", "time"}, {{{"matmul"}, {"12.0 ms", 0.012}}}};     // TableModel (table_model.h) shows it

#include <limits>
#include <string>
#include <vector>

namespace shardscope::gui {

struct TableCell {
  std::string text;
  double number = std::numeric_limits<double>::quiet_NaN();  ///< what it is sorted by; NaN: a text, sorted as one
  std::string exact = {};                                    ///< what is copied, all digits; empty: the text
  bool is_number() const { return number == number; }
};

struct TableData {
  std::vector<std::string> columns;
  std::vector<std::vector<TableCell>> rows;  ///< each as long as `columns`
};

}  // namespace shardscope::gui
