#pragma once
// What a timeline shows, as plain data that goes to JSON and back, and how looking around changes it. No Qt.
//
//   TimelineState state = parse_timeline_state(text);             // or {}: the whole run
//   state.window = zoom(state.window, extent, 0.5, at_ns);        // twice as near
//   history.push(state);  state = history.undo();

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "profiler/query/timeline.h"

namespace shardscope::gui {

/// A rectangle of time and ranks.
struct TimelineArea {
  TimeWindow time;
  int first_rank = 0, last_rank = 0;  ///< both included
  friend bool operator==(const TimelineArea&, const TimelineArea&) = default;
};

/// One execution of an op, by what stays the same in the next run.
struct TimelineSelection {
  int rank = 0;
  std::string lane;
  int step = 0, op = 0;
  std::int64_t begin_ns = 0;  ///< of several executions in a step, this one
  friend bool operator==(const TimelineSelection&, const TimelineSelection&) = default;
};

/// What the map of all ranks shows.
enum class HeatMetric : std::uint8_t { kExposed, kWaiting, kIdle, kCompute };
inline constexpr int kHeatMetrics = 4;
std::string_view to_string(HeatMetric metric);  ///< "exposed", "waiting", "idle", "compute"

/// A remark at an instant; of a rank, or (-1) of all.
struct TimelineNote {
  std::int64_t at_ns = 0;
  int rank = -1;
  std::string text;  ///< empty: a mark without words
  friend bool operator==(const TimelineNote&, const TimelineNote&) = default;
};

struct TimelineState {
  TimeWindow window;                         ///< empty: the whole run
  double scroll = 0;                         ///< height of the rows that are above the view, pixels
  std::optional<std::vector<int>> expanded;  ///< ranks shown lane by lane; nothing: all, if they have room
  std::vector<int> pinned;                   ///< ranks on top, in this order, which do not scroll
  std::vector<int> unchecked;                ///< ranks that the tables leave out, ascending
  std::vector<int> order;                    ///< ranks that come first among the others
  std::optional<TimelineSelection> selection;
  std::optional<TimelineArea> area;
  std::vector<TimelineNote> notes;
  std::string search;  ///< what is looked for; empty: nothing
  HeatMetric metric = HeatMetric::kExposed;
  int flow = 0;            ///< how far back arrows show what the selected op waited for; 0: none
  bool prediction = true;  ///< drawn under each lane, where there is one
  bool dark = false;
  friend bool operator==(const TimelineState&, const TimelineState&) = default;
};

/// One line of JSON, version 1.
std::string to_json(const TimelineState& state);
/// Throws Error{kParse} for what to_json() does not write, naming the key. `name` is the file's, for messages.
TimelineState parse_timeline_state(const std::string& text, const std::string& name);

inline constexpr int kFurthestFlow = 5;
inline constexpr std::int64_t kShortestWindowNs = 100;

/// The window with its length times `factor`, `at_ns` staying where it is; inside the extent, and never too short.
TimeWindow zoom(TimeWindow window, TimeWindow extent, double factor, std::int64_t at_ns);
/// Moved by a fraction of its length, as far as the extent goes.
TimeWindow pan(TimeWindow window, TimeWindow extent, double fraction);
/// Cut to the extent; the whole extent for an empty window.
TimeWindow clamp(TimeWindow window, TimeWindow extent);

/// Undo and redo of view changes. Changes of one gesture (the same number, not 0) become one.
class ViewHistory {
 public:
  explicit ViewHistory(TimelineState first) : states_{std::move(first)} {}
  void push(TimelineState state, int gesture = 0);
  const TimelineState& undo();  ///< the state before, or the first
  const TimelineState& redo();
  const TimelineState& now() const { return states_[at_]; }

 private:
  std::vector<TimelineState> states_;
  std::size_t at_ = 0;
  int gesture_ = 0;
};

}  // namespace shardscope::gui
