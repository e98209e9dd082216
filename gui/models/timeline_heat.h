#pragma once
// All ranks over time at once, one number for each rank and cell of time: what thousands of ranks look like before
// anyone asks for one of them. No Qt.
//
//   HeatMap map = load_heat(timeline, window, /*columns=*/512, [] { return false; });
//   draw_heat(picture, map, HeatMetric::kIdle, place, window, shades, measure);

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "gui/models/picture.h"
#include "gui/models/timeline_colours.h"
#include "gui/models/timeline_layout.h"
#include "gui/models/timeline_rows.h"

namespace shardscope::gui {

/// Part of the time of a cell, 0 to 255, of each metric.
using HeatCell = std::array<std::uint8_t, kHeatMetrics>;

struct HeatMap {
  TimeWindow time;
  int columns = 0;
  std::map<int, std::vector<HeatCell>> ranks;
};

/// In a cell, exposed is communication beyond what compute leaves idle, waiting is what collectives say they waited,
/// idle is what is left by both: sums over a cell, so that overlap inside one is taken to be as large as it can be.
HeatMap load_heat(const Timeline& timeline, TimeWindow window, int columns, const std::function<bool()>& stopped);

/// How busy the whole run is: the mean over some of its ranks, evenly chosen, as columns of work_looks().
std::vector<Stack> load_activity(const Timeline& timeline, int columns, int ranks);

const char* name_of(HeatMetric metric);  ///< "exposed communication"
/// Cividis: from dark blue to yellow, evenly lighter, the same under the common kinds of colour blindness.
Rgb heat_colour(double value);

/// A pixel's row shows the worst of its ranks.
void draw_heat(Picture& picture, const HeatMap& map, HeatMetric metric, const HeatPlace& heat, const RowPlace& place,
               TimeWindow window);

}  // namespace shardscope::gui
