#pragma once
// Which row of a timeline stands where, and what is under a point. No Qt.
//
//   TimelineLayout layout = lay_out(timeline.tracks(), state, height_of_the_rows);
//   const TimelineRow* row = layout.row_at(y);

#include <map>
#include <vector>

#include "gui/models/timeline_state.h"

namespace shardscope::gui {

/// A lane of a rank, or (no tracks but its own in `tracks`) a whole rank in one row.
struct TimelineRow {
  int rank = 0;
  bool whole_rank = false;
  std::vector<std::size_t> tracks;  ///< indices into Timeline::tracks(): one, or all of the rank
  int depth = 1;                    ///< levels of a lane whose spans lie in one another, from top to bottom
  int level = -1;                   ///< of them, the one that is pointed at
  double y = 0, height = 0;         ///< from the top of the rows; scrolled already
  bool first_of_rank = true, pinned = false;
};

/// Where ranks are so many that they have not even kThinnestRank pixels each: all of them, as a map of rank and time.
struct HeatPlace {
  double y = 0, height = 0;
  std::vector<int> ranks;  ///< from top to bottom
  int rank_at(double at) const;
};

struct TimelineLayout {
  std::vector<TimelineRow> rows;  ///< those that can be seen, top to bottom; pinned ones first
  std::optional<HeatPlace> heat;  ///< below the pinned rows; does not scroll, and counts as pinned
  double content = 0;             ///< height of all rows that scroll
  double pinned = 0;              ///< height of those that do not
  const TimelineRow* row_at(double y) const;
  std::optional<TimelineRow> pointed_at(double y) const;  ///< likewise, with its level
  double furthest_scroll(double height) const { return std::max(0.0, content - (height - pinned)); }
};

inline constexpr double kLaneHeight = 18, kHighestLane = 34, kRankGap = 5, kThinnestRank = 2;

/// A rank that stands for many, and why.
struct Representative {
  int rank = 0;
  std::string why;  ///< "median", "slowest"
};

/// Ranks that the profile does not have are left out of what the state names. Rows are kept that are up to `reach`
/// pixels above or below. Under a heat map, only expanded and pinned ranks have rows: of a state that names none, the
/// representatives.
TimelineLayout lay_out(const std::vector<TimelineTrack>& tracks, const TimelineState& state, double height,
                       const std::vector<Representative>& representatives = {}, double reach = 0);

/// Where an instant is, in columns of a view that is `width` wide.
double x_of(std::int64_t ns, TimeWindow window, double width);
std::int64_t time_at(double x, TimeWindow window, double width);

/// The span of a row at an instant; of a whole rank, its compute lane's before the others'. `slack_ns` widens spans
/// that are too thin to be hit.
struct TimelineHit {
  std::size_t track = 0;
  Span span;
};
std::optional<TimelineHit> hit(const Timeline& timeline, const TimelineRow& row, std::int64_t at_ns,
                               std::int64_t slack_ns);

}  // namespace shardscope::gui
