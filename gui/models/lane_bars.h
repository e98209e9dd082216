#pragma once
// A lane's work, read for some stretches of a run and put where a picture wants them: steps of two runs that begin
// together, one step of each of five runs. Reading asks the profile; drawing does not. No Qt.
//
//   LaneBars bars = read_lane(timeline, track, {{step.time, 0, step.number, step.number}}, {0, longest}, pixels);
//   draw_lane(picture, bars, window, {x, y, width, height}, measure, true);
//
// Bars that are wide enough are kept one by one, with their texts; of the rest, how busy each column of pixels is.

#include <string>
#include <vector>

#include "gui/models/timeline_rows.h"

namespace shardscope::gui {

/// A stretch of a run, and where on the axis its begin is put.
struct StepPlace {
  TimeWindow run;
  std::int64_t at_ns = 0;     ///< on the axis
  std::int64_t step = 0;      ///< what it is called
  std::int64_t run_step = 0;  ///< the run's own number; spans of other steps are left out
  std::int64_t to_axis(std::int64_t run_ns) const { return at_ns + (run_ns - run.begin_ns); }
};

/// One execution; times on the axis.
struct LaneBar {
  TimeWindow time;
  std::int64_t wait_ns = 0;
  std::int32_t op = 0;
  std::int64_t step = 0;
  WorkClass work = WorkClass::kForward;
  std::string text;  ///< "matmul h.0.mlp"
};

struct LaneBars {
  int rank = 0;
  std::string lane;
  TimeWindow window;           ///< of the axis
  std::vector<Stack> columns;  ///< of the window, of equal width
  std::vector<LaneBar> bars;
};

/// Places in order of time; what lies outside of them and of the window is left out.
LaneBars read_lane(const Timeline& timeline, const TimelineTrack& track, const std::vector<StepPlace>& places,
                   TimeWindow window, int pixels);
/// All lanes of a rank.
std::vector<LaneBars> read_rank(const Timeline& timeline, int rank, const std::vector<StepPlace>& places,
                                TimeWindow window, int pixels);

/// As it is in `window`: what was read for another one is drawn where it belongs in this one.
void draw_lane(Picture& picture, const LaneBars& lane, TimeWindow window, const RowPlace& place,
               const TextWidth& measure, bool predicted = false);
/// Which classes of work can be seen: what a legend has to name.
using WorkClasses = std::array<bool, kWorkClasses>;
void add_classes(const std::vector<LaneBars>& lanes, WorkClasses& seen);
/// The bar at an instant of the axis, `slack_ns` near; null: none that was read one by one.
const LaneBar* bar_at(const LaneBars& lane, std::int64_t axis_ns, std::int64_t slack_ns);

}  // namespace shardscope::gui
