#pragma once
// The timeline as a picture: title, steps and phases, ruler, rows of ranks and lanes, legend. The window and the
// command line draw the same; the window keeps the bars, which are most of it, between frames. No Qt.
//
//   Picture picture = draw_timeline(timeline, profile, run, title, state, 1600, 900, measure);      // all of it, at
//   once TimelineScene scene = make_scene(catalog, state, 1600, 900, measure);  scene.tile = ...;        // or in parts
//   Picture bars = draw_bars(scene, {0, width});

#include "gui/models/timeline_flow.h"
#include "gui/models/timeline_heat.h"
#include "gui/models/timeline_pair.h"
#include "gui/models/timeline_tile.h"

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
TimelineFrame frame_of(const TimelineCatalog& catalog, double width, double height, const TextWidth& measure);

/// Left of a rank's name, while there is an area or some rank is left out: whether the tables count it.
inline constexpr double kCheckWidth = 10;
bool shows_checks(const TimelineState& state);

/// All that a frame is drawn from. Tile, heat map and hits may be missing, or be of another window: what they have of
/// this one is drawn.
struct TimelineScene {
  std::shared_ptr<const TimelineCatalog> catalog;
  std::shared_ptr<const TimelineTile> tile;
  std::shared_ptr<const HeatMap> heat;
  std::shared_ptr<const std::vector<FlowArrow>> flow;  ///< of the selected op; null: not asked for
  TimelineState state;
  TimelineFrame frame;
  TimelineLayout layout;
  TimeWindow window;
  std::map<int, std::int64_t> hits;  ///< of a search, by rank: marked in the gutter
  double width = 0, height = 0;      ///< of the picture
  double x(std::int64_t ns) const { return frame.left + x_of(ns, window, frame.width); }
  double clamped_x(std::int64_t ns) const { return std::clamp(x(ns), frame.left, frame.left + frame.width); }
  RowPlace place_of(const TimelineRow& row) const;  ///< cut by the scroll
  double rows_bottom() const;
};
TimelineScene make_scene(std::shared_ptr<const TimelineCatalog> catalog, const TimelineState& state, double width,
                         double height, const TextWidth& measure);

/// The bars of all rows and the lines of the ruler behind them. Only the bars are of the tile.
Picture draw_bars(const TimelineScene& scene, const TextWidth& measure);
/// Title, ruler, bands, names of rows, legend.
Picture draw_around(const TimelineScene& scene, const TimelineTitle& title, const TextWidth& measure);
/// Selection, area and notes: what lies on top of the bars.
Picture draw_marks(const TimelineScene& scene, const TextWidth& measure);

Picture draw_timeline(const TimelineScene& scene, const TimelineTitle& title, const TextWidth& measure);
/// With everything read at once: for files and tests.
Picture draw_timeline(const Timeline& timeline, const Profile& profile, std::int64_t run, const TimelineTitle& title,
                      const TimelineState& state, double width, double height, const TextWidth& measure,
                      const PredictedRun* predicted = nullptr);

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
