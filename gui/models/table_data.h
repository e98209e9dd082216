#pragma once
// A chart's twin: the same as a table of texts, with the numbers behind them to sort by. No Qt.
//
//   TableData table = waterfall_table(waterfall);     // PlainTable (plain_table.h) shows it

#include <limits>
#include <string>
#include <vector>

namespace shardscope::gui {

struct TableCell {
  std::string text;
  double number = std::numeric_limits<double>::quiet_NaN();  ///< NaN: a text, sorted as one
  bool is_number() const { return number == number; }
};

struct TableData {
  std::vector<std::string> columns;
  std::vector<std::vector<TableCell>> rows;  ///< each as long as `columns`
};

}  // namespace shardscope::gui
