#pragma once
// What a timeline is drawn from, read beforehand, so that drawing asks no file: the catalog of a run, and a tile of it,
// which is every row that can be seen over somewhat more than the time that can be seen. No Qt.
//
//   auto catalog = std::make_shared<const TimelineCatalog>(load_catalog(timeline, profile, run));
//   TimelineTile tile = load_tile(timeline, *catalog, {state, window, columns, height}, [] { return false; });

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "gui/models/picture.h"
#include "gui/models/timeline_layout.h"

namespace shardscope::gui {

/// What stays the same while one looks around a run.
struct TimelineCatalog {
  std::vector<TimelineTrack> tracks;  ///< by rank, then lane
  TimeWindow extent;
  std::map<std::int64_t, std::vector<TimelineOp>> ops;  ///< by program
  std::vector<Band> steps;                              ///< of the first rank
  std::vector<Representative> representatives;          ///< median and slowest rank; none without steps
  std::array<bool, kWorkClasses> works{};               ///< what its lanes can do: what a legend has to name
  bool predicted = false;

  const std::vector<TimelineOp>& ops_of(const TimelineTrack& track) const { return ops.at(track.program); }
  const TimelineOp& op(const TimelineTrack& track, std::int32_t op) const;
  int ranks() const;
};
TimelineCatalog load_catalog(const Timeline& timeline, const Profile& profile, std::int64_t run);

struct TimelinePair;

/// One row for the columns of a tile.
struct TileRow {
  std::vector<Stack> columns;
  std::vector<Span> spans;  ///< at least kWideSpan columns long: not part of `columns`
};

struct TimelineTile {
  TimeWindow time;  ///< of all columns
  int columns = 0;
  /// By rank, and track index; kWholeRank for a rank in one row.
  std::map<std::pair<int, std::size_t>, TileRow> rows;
  std::vector<Band> phases, micro_batches;   ///< of the first row, where its spans are wide enough
  std::vector<TiedSpan> selected;            ///< the selected op, and the same collective on the other ranks
  std::shared_ptr<const TimelinePair> pair;  ///< the run's prediction, drawn under its lanes (timeline_pair.h); or none

  static constexpr std::size_t kWholeRank = static_cast<std::size_t>(-1);
  const TileRow* row(const TimelineRow& of) const;
  double column_ns() const { return static_cast<double>(time.length()) / columns; }
};

struct TileRequest {
  TimelineState state;
  TimeWindow window;
  int columns = 1;    ///< of the window
  double height = 0;  ///< of the rows
  int margin = 0;     ///< columns on either side of the window
  double reach = 0;   ///< height above and below
};

/// `stopped` is asked now and then; when it says true, what has been read so far is returned.
TimelineTile load_tile(const Timeline& timeline, const TimelineCatalog& catalog, const TileRequest& request,
                       const std::function<bool()>& stopped);

/// The columns of a row for a window of `width` columns: the tile's own where it has them, at its own resolution;
/// `known` tells which part of the window, in columns, the tile covers.
struct KnownColumns {
  int first = 0, end = 0;
};
std::vector<Stack> columns_for(const TimelineTile& tile, const TileRow& row, TimeWindow window, int width,
                               KnownColumns& known);
/// Whether the tile holds all that the window shows, column by column.
bool covers(const TimelineTile& tile, TimeWindow window, int width);

}  // namespace shardscope::gui
