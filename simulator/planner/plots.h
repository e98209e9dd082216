#pragma once
// Plots as SVG text, for reports: no scripts, no fonts, readable in light and dark pages (colours are named in
// `style`).
//
//   std::string svg = scatter_svg({.x = "days", .y = "USD", .log = true}, {{"h100-sxm", {{12, 1e5, "64 GPUs"}}}});

#include <string>
#include <vector>

namespace shardscope {

struct Axes {
  std::string x, y;
  bool log = false;  ///< both
};
struct Dot {
  double x = 0, y = 0;
  std::string title;       ///< shown when pointed at
  bool is_ringed = false;  ///< the one that is meant
};
struct Series {
  std::string name;
  std::vector<Dot> dots;
};
std::string scatter_svg(const Axes&, const std::vector<Series>&);

struct Bar {
  std::string label;
  std::vector<double> parts;  ///< one per name; below zero counts as nothing
};
/// Stacked bars, one below the other; `limit` above 0 is a line across all of them.
std::string bars_svg(const std::string& unit, const std::vector<std::string>& names, const std::vector<Bar>&,
                     double limit);

struct Change {
  std::string label;
  double change = 0;
};
/// From a value, over changes, to a value.
std::string waterfall_svg(const std::string& unit, double from, const std::vector<Change>&, double to);

}  // namespace shardscope
