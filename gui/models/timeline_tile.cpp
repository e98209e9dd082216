#include "gui/models/timeline_tile.h"

#include <algorithm>
#include <cmath>

#include "gui/models/timeline_rows.h"

namespace shardscope::gui {
namespace {

/// Ranks by how long they compute in a step, on the average: others wait for the slowest.
std::vector<Representative> load_representatives(const Profile& profile, std::int64_t run) {
  Rows rows = profile.rows(
      "SELECT rank FROM step WHERE run = ? GROUP BY rank ORDER BY avg(compute_ns + optimizer_ns + load_ns), rank",
      {Value(run)});
  std::vector<int> ranks;
  while (rows.next()) ranks.push_back(rows.small(0));
  if (ranks.empty()) return {};
  if (ranks.size() == 1) return {{ranks.front(), ""}};
  return {{ranks[(ranks.size() - 1) / 2], "median"}, {ranks.back(), "slowest"}};
}

TimeWindow with_margin(TimeWindow window, int columns, int margin) {
  const std::int64_t more = std::llround(static_cast<double>(window.length()) / columns * margin);
  return {window.begin_ns - more, window.end_ns + more};
}

TileRow load_row(const Timeline& timeline, const TimelineRow& row, TimeWindow time, int columns) {
  if (row.whole_rank) return {stacks_of(rank_columns(timeline, row, time, columns)), {}};
  const TimelineTrack& track = timeline.tracks()[row.tracks.front()];
  Columns shares(static_cast<std::size_t>(columns));
  if (row.depth > 1) {
    TrackView view = timeline.look(track, time, columns);
    if (view.bucket_ns == 0) {  // each at its level, however thin
      set_depths(view.spans);
      return {stacks_of(shares), std::move(view.spans)};
    }
  }
  std::vector<Span> spans = add_columns(timeline, track, timeline.look(track, time, columns), time, kWideSpan, shares);
  return {stacks_of(shares), std::move(spans)};
}

std::vector<TiedSpan> load_selected(const Timeline& timeline, const TimelineSelection& wanted) {
  for (std::size_t i = 0; i < timeline.tracks().size(); ++i) {
    const TimelineTrack& track = timeline.tracks()[i];
    if (track.rank != wanted.rank || track.lane != wanted.lane) continue;
    std::vector<Span> spans = timeline.spans(track, {wanted.begin_ns, wanted.begin_ns + 1});
    set_depths(spans);
    for (const Span& span : spans) {
      if (span.op != wanted.op || span.step != wanted.step) continue;
      std::vector<TiedSpan> found{{i, span}};
      for (TiedSpan& tied : timeline.tied(i, span)) found.push_back(tied);
      return found;
    }
  }
  return {};
}

/// Phases and micro-batches of the topmost row that has a compute lane.
void load_bands(const Timeline& timeline, const TimelineRow& row, int columns, TimelineTile& tile) {
  const TimelineTrack& track = timeline.tracks()[row.tracks.front()];
  const TrackView view = timeline.look(track, tile.time, columns);
  if (view.bucket_ns > 0) return;
  tile.phases = timeline.phases(track, view.spans);
  tile.micro_batches = timeline.micro_batches(track, view.spans);
}

/// What a lane other than compute does.
WorkClass work_of_lane(const std::string& name) {
  const auto lane = from_name<Lane>(name);
  return lane && *lane >= Lane::kH2D ? WorkClass::kOffload : WorkClass::kCommunication;
}

std::array<bool, kWorkClasses> works_of(const TimelineCatalog& catalog) {
  std::array<bool, kWorkClasses> used{};
  for (const TimelineTrack& track : catalog.tracks) {
    if (track.lane == to_string(Lane::kCompute)) {
      for (std::size_t c = 0; c <= static_cast<std::size_t>(WorkClass::kOptimizer); ++c) used[c] = true;
      continue;
    }
    if (!from_name<Lane>(track.lane)) {  // of another program: its lanes do not say what they do
      for (const TimelineOp& op : catalog.ops_of(track)) used[static_cast<std::size_t>(op.work)] = true;
      continue;
    }
    const WorkClass work = work_of_lane(track.lane);
    used[static_cast<std::size_t>(work)] = true;
    if (work == WorkClass::kCommunication) used[static_cast<std::size_t>(WorkClass::kWait)] = true;
  }
  return used;
}

}  // namespace

const TimelineOp& TimelineCatalog::op(const TimelineTrack& track, std::int32_t op) const {
  static const TimelineOp kUnknown{"unknown op", "", "", ""};
  const std::vector<TimelineOp>& all = ops_of(track);
  return op >= 0 && static_cast<std::size_t>(op) < all.size() ? all[static_cast<std::size_t>(op)] : kUnknown;
}

int TimelineCatalog::ranks() const {
  int count = 0, last = -1;
  for (const TimelineTrack& track : tracks) count += std::exchange(last, track.rank) != track.rank ? 1 : 0;
  return count;
}

TimelineCatalog load_catalog(const Timeline& timeline, const Profile& profile, std::int64_t run) {
  TimelineCatalog catalog;
  catalog.tracks = timeline.tracks();
  for (TimelineTrack& track : catalog.tracks) track.depth = timeline.nesting(track);
  catalog.extent = timeline.extent();
  catalog.ops = timeline.ops();
  if (!catalog.tracks.empty()) catalog.steps = timeline.steps(catalog.tracks.front().rank);
  catalog.representatives = load_representatives(profile, run);
  catalog.works = works_of(catalog);
  return catalog;
}

const TileRow* TimelineTile::row(const TimelineRow& of) const {
  const auto found = rows.find({of.rank, of.whole_rank ? kWholeRank : of.tracks.front()});
  return found == rows.end() ? nullptr : &found->second;
}

TimelineTile load_tile(const Timeline& timeline, const TimelineCatalog& catalog, const TileRequest& request,
                       const std::function<bool()>& stopped) {
  const LockHold locks = timeline.hold();
  TimelineTile tile;
  tile.columns = request.columns + 2 * request.margin;
  tile.time = with_margin(request.window, request.columns, request.margin);
  const TimelineLayout layout =
      lay_out(catalog.tracks, request.state, request.height, catalog.representatives, request.reach);
  for (const TimelineRow& row : layout.rows) {
    if (stopped()) return tile;
    const std::size_t track = row.whole_rank ? TimelineTile::kWholeRank : row.tracks.front();
    tile.rows.emplace(std::pair(row.rank, track), load_row(timeline, row, tile.time, tile.columns));
  }
  if (!layout.rows.empty()) load_bands(timeline, layout.rows.front(), tile.columns, tile);
  if (request.state.selection) tile.selected = load_selected(timeline, *request.state.selection);
  return tile;
}

std::vector<Stack> columns_for(const TimelineTile& tile, const TileRow& row, TimeWindow window, int width,
                               KnownColumns& known) {
  std::vector<Stack> columns(static_cast<std::size_t>(width));
  const double step = static_cast<double>(window.length()) / width / tile.column_ns();
  double at = static_cast<double>(window.begin_ns - tile.time.begin_ns) / tile.column_ns();
  const auto count = static_cast<double>(tile.columns);
  if (std::abs(step - 1) < 1e-6) at = std::round(at);  // as it was read
  known.first = std::clamp(static_cast<int>(std::ceil(-at / step - 0.5)), 0, width);
  known.end = std::clamp(static_cast<int>(std::ceil((count - at) / step - 0.5)), known.first, width);
  if (std::abs(step - 1) < 1e-6) {
    const auto from = row.columns.begin() + static_cast<std::ptrdiff_t>(at) + known.first;
    std::copy(from, from + (known.end - known.first), columns.begin() + known.first);
    return columns;
  }
  for (int c = known.first; c < known.end; ++c) {
    const auto index = static_cast<std::size_t>(std::clamp(at + (c + 0.5) * step, 0.0, count - 1));
    columns[static_cast<std::size_t>(c)] = row.columns[index];
  }
  return columns;
}

bool covers(const TimelineTile& tile, TimeWindow window, int width) {
  if (tile.columns == 0 || window.begin_ns < tile.time.begin_ns || window.end_ns > tile.time.end_ns) return false;
  return std::abs(static_cast<double>(window.length()) / width / tile.column_ns() - 1) < 1e-6;
}

}  // namespace shardscope::gui
