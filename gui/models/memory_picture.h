#pragma once
// Memory as a picture: for each rank shown an area stacked by category over time under the limit, with its prediction
// dashed over it; below them how full every rank is over time; beside them the peaks and, at the cursor, what is live.
// The window and the command line draw the same. No Qt.
//
//   Picture picture = draw_memory(data, {"run.db: zero-3", "measured"}, state, 1600, 900, measure);

#include "gui/models/memory_data.h"
#include "gui/models/picture.h"
#include "gui/models/timeline_picture.h"

namespace shardscope::gui {

Picture draw_memory(const MemoryData& data, const TimelineTitle& title, const MemoryState& state, double width,
                    double height, const TextWidth& measure);

/// What is under a point.
struct MemoryHit {
  enum class Part : std::uint8_t { kNothing, kPanel, kHeat, kPeak, kLegend };
  Part part = Part::kNothing;
  int rank = -1;                             ///< of all but the legend
  std::int64_t time_ns = 0;                  ///< of panels and heat map
  Category category = Category::kWorkspace;  ///< of the legend
};
MemoryHit hit_memory(const MemoryData& data, const MemoryState& state, double width, double height,
                     const TextWidth& measure, double x, double y);

/// "rank 17, 1.204 s: 79.1 GiB of 80.0 GiB" and the parts, a line each: what a tooltip says of a point.
std::string describe(const MemoryData& data, const MemoryHit& hit);

}  // namespace shardscope::gui
