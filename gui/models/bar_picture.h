#pragma once
// Bar charts side by side as a picture: what the overview copies and exports. No Qt.
//
//   Picture picture = draw_bars({step_chart(runs), memory_chart(runs)}, dark, 1280, 600, measure);

#include <vector>

#include "gui/models/bar_chart.h"
#include "gui/models/picture.h"

namespace shardscope::gui {

Picture draw_bars(const std::vector<BarChart>& charts, bool dark, double width, double height,
                  const TextWidth& measure);

}  // namespace shardscope::gui
