#pragma once
// A flame of area_flame() as a picture: the whole at the top, below it what it consists of, as wide as its time; and as
// a table. No Qt.
//
//   Picture picture = draw_flame(flame, /*root=*/0, dark, 900, 300, measure);
//   int node = flame_at(flame, 0, 900, x, y);                     // -1: none

#include <vector>

#include "gui/models/picture.h"
#include "gui/models/table_data.h"
#include "profiler/query/area_flame.h"

namespace shardscope::gui {

inline constexpr double kFlameRow = 20;

/// `root` and what lies above it take the whole width; what would be less than a pixel is left out.
Picture draw_flame(const std::vector<FlameNode>& flame, int root, bool dark, double width, double height,
                   const TextWidth& measure);
int flame_at(const std::vector<FlameNode>& flame, int root, double width, double x, double y);
/// "matmul: 12 ms, 34.5 % of all; 3 ms of its own; 8 executions".
std::string describe_flame(const std::vector<FlameNode>& flame, int node);
TableData flame_table(const std::vector<FlameNode>& flame);

}  // namespace shardscope::gui
