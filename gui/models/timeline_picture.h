#pragma once
// The timeline as a picture: title, steps and phases, ruler, rows of ranks and lanes, legend. The window and the
// command line draw the same. No Qt.
//
//   Picture picture = draw_timeline(timeline, {"run.db: zero-3", "measured"}, state, 1600, 900, measure);

#include "gui/models/picture.h"
#include "gui/models/timeline_layout.h"

namespace shardscope::gui {

struct TimelineTitle {
  std::string name, remark;  ///< "zero-3", "measured, 4 ranks, gpt2"
  bool predicted = false;
};

/// Where the parts of the view are, for the pointer too.
struct TimelineFrame {
  double left = 0, top = 0;      ///< of the rows
  double width = 0, height = 0;  ///< of the rows
};
TimelineFrame frame_of(const Timeline& timeline, double width, double height, const TextWidth& measure);

Picture draw_timeline(const Timeline& timeline, const TimelineTitle& title, const TimelineState& state, double width,
                      double height, const TextWidth& measure);

/// Evenly spaced round times inside the window, at most `wanted`, and their texts: as times since the start of the run,
/// or, where those would be long, as distances from the first, whose time `base` then says.
struct TimeTicks {
  std::string base;  ///< "1.204 s", or empty
  std::vector<std::int64_t> at_ns;
  std::vector<std::string> texts;
};
TimeTicks time_ticks(TimeWindow window, int wanted);

/// "12.5 ms": as many digits as tell times `step_ns` apart.
std::string format_time(std::int64_t ns, std::int64_t step_ns);

}  // namespace shardscope::gui
