#include "gui/models/timeline_layout.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace shardscope::gui {
namespace {

using Ranks = std::map<int, std::vector<std::size_t>>;

/// Ranks, and how many rows each needs lane by lane.
struct Lanes {
  Ranks ranks;
  std::map<int, double> rows;
};

Ranks by_rank(const std::vector<TimelineTrack>& tracks) {
  Ranks ranks;
  for (std::size_t i = 0; i < tracks.size(); ++i) ranks[tracks[i].rank].push_back(i);
  return ranks;
}

/// Each rank once, those that exist: pinned, then those named in `order`, then the rest.
std::vector<int> ordered(const Ranks& ranks, const TimelineState& state, std::set<int>& pinned) {
  std::vector<int> order;
  std::set<int> seen;
  const auto add = [&](int rank) {
    if (ranks.count(rank) != 0 && seen.insert(rank).second) order.push_back(rank);
  };
  for (int rank : state.pinned) add(rank);
  pinned = seen;
  for (int rank : state.order) add(rank);
  for (const auto& [rank, tracks] : ranks) add(rank);
  return order;
}

/// Rows that the lanes of a rank take.
double rows_of(const std::vector<TimelineTrack>& tracks, const std::vector<std::size_t>& own) {
  double rows = 0;
  for (std::size_t track : own) rows += tracks[track].depth;
  return rows;
}

std::set<int> expanded(const Lanes& lanes, const TimelineState& state, double height) {
  std::set<int> all;
  double needed = 0;
  for (const auto& [rank, rows] : lanes.rows) {
    all.insert(rank);
    needed += rows * kLaneHeight + kRankGap;
  }
  if (state.expanded) return {state.expanded->begin(), state.expanded->end()};
  return needed <= height ? all : std::set<int>{};
}

/// What ranks in one row have of the height that expanded ones leave.
double rank_height(const Lanes& lanes, const std::set<int>& lanes_of, double height) {
  double left = height, collapsed = 0;
  for (const auto& [rank, rows] : lanes.rows) {
    if (lanes_of.count(rank) != 0) {
      left -= rows * kLaneHeight + kRankGap;
    } else {
      ++collapsed;
    }
  }
  return collapsed == 0 ? kLaneHeight : std::clamp(std::floor(left / collapsed), kThinnestRank, kLaneHeight);
}

/// Lanes are higher where all ranks are shown by lanes and leave room.
double lane_height(const Lanes& lanes, const std::set<int>& lanes_of, double height) {
  double all = 0, gaps = 0;
  for (const auto& [rank, rows] : lanes.rows) {
    if (lanes_of.count(rank) == 0) return kLaneHeight;
    all += rows;
    gaps += kRankGap;
  }
  return all == 0 ? kLaneHeight : std::clamp(std::floor((height - gaps) / all), kLaneHeight, kHighestLane);
}

/// What the rows below leave of the height, but not less than 40 % of it.
double heat_height(const Lanes& lanes, const std::set<int>& lanes_of, const std::set<int>& pinned, double height) {
  double needed = kRankGap;
  for (int rank : lanes_of) {
    if (const auto found = lanes.rows.find(rank); found != lanes.rows.end() && pinned.count(rank) == 0)
      needed += found->second * kLaneHeight + kRankGap;
  }
  return std::floor(std::max({0.4 * height, height - needed, 1.0}));
}

/// Of spans that lie in one another those of a level; below 0: the innermost first.
void keep_level(std::vector<Span>& spans, int level) {
  set_depths(spans);
  if (level < 0) return std::reverse(spans.begin(), spans.end());
  std::erase_if(spans, [&](const Span& span) { return span.depth != level; });
}

}  // namespace

TimelineLayout lay_out(const std::vector<TimelineTrack>& tracks, const TimelineState& state, double height,
                       const std::vector<Representative>& representatives, double reach) {
  Lanes lanes{by_rank(tracks), {}};
  const Ranks& ranks = lanes.ranks;
  for (const auto& [rank, own] : ranks) lanes.rows[rank] = rows_of(tracks, own);
  const bool heat = static_cast<double>(ranks.size()) * kThinnestRank > height;
  std::set<int> lanes_of = expanded(lanes, state, height);
  if (heat && !state.expanded) {
    for (const Representative& r : representatives) lanes_of.insert(r.rank);
  }
  const double one_row = heat ? kLaneHeight : rank_height(lanes, lanes_of, height);
  const double one_lane = lane_height(lanes, lanes_of, height);
  TimelineLayout layout;
  std::set<int> pinned;
  double y = 0;
  const auto add = [&](int rank, bool whole, std::vector<std::size_t> own, double row_height, bool first) {
    const int depth = whole ? 1 : tracks[own.front()].depth;
    layout.rows.push_back(
        {rank, whole, std::move(own), depth, -1, y, row_height * depth, first, pinned.count(rank) != 0});
    y += row_height * depth;
  };
  const std::vector<int> order = ordered(ranks, state, pinned);
  bool below_pinned = false;
  const auto end_pinned = [&] {
    if (below_pinned) return;
    below_pinned = true;
    if (heat) {
      layout.heat = {y, heat_height(lanes, lanes_of, pinned, height - y), order};
      y += layout.heat->height + kRankGap;
    }
    layout.pinned = y;
  };
  for (int rank : order) {
    if (pinned.count(rank) == 0) end_pinned();
    const std::vector<std::size_t>& own = ranks.at(rank);
    if (lanes_of.count(rank) == 0) {
      if (!heat || pinned.count(rank) != 0) add(rank, true, own, one_row, true);
      continue;
    }
    for (std::size_t track : own) add(rank, false, {track}, one_lane, track == own.front());
    y += kRankGap;
  }
  end_pinned();
  layout.content = y - layout.pinned;
  const double scroll = std::min(state.scroll, layout.furthest_scroll(height));
  for (TimelineRow& row : layout.rows) row.y -= row.pinned ? 0 : scroll;
  std::erase_if(layout.rows, [&](const TimelineRow& row) {
    return row.y >= height + reach || (!row.pinned && row.y + row.height <= layout.pinned - reach);
  });
  return layout;
}

int HeatPlace::rank_at(double at) const {
  const auto count = static_cast<double>(ranks.size());
  return ranks[static_cast<std::size_t>(std::clamp(std::floor((at - y) / height * count), 0.0, count - 1))];
}

const TimelineRow* TimelineLayout::row_at(double y) const {
  for (const TimelineRow& row : rows) {
    if (y >= row.y && y < row.y + row.height && (row.pinned || y >= pinned)) return &row;
  }
  return nullptr;
}

std::optional<TimelineRow> TimelineLayout::pointed_at(double y) const {
  const TimelineRow* found = row_at(y);
  if (found == nullptr) return std::nullopt;
  TimelineRow row = *found;
  row.level = std::clamp(static_cast<int>((y - row.y) / row.height * row.depth), 0, row.depth - 1);
  return row;
}

double x_of(std::int64_t ns, TimeWindow window, double width) {
  return static_cast<double>(ns - window.begin_ns) / static_cast<double>(window.length()) * width;
}

std::int64_t time_at(double x, TimeWindow window, double width) {
  return window.begin_ns + static_cast<std::int64_t>(std::floor(x / width * static_cast<double>(window.length())));
}

std::optional<TimelineHit> hit(const Timeline& timeline, const TimelineRow& row, std::int64_t at_ns,
                               std::int64_t slack_ns) {
  for (std::size_t track : row.tracks) {
    std::optional<TimelineHit> nearest;
    std::int64_t distance = slack_ns + 1;
    std::vector<Span> spans = timeline.spans(timeline.tracks()[track], {at_ns - slack_ns, at_ns + slack_ns + 1});
    if (row.depth > 1) keep_level(spans, row.level);
    for (const Span& span : spans) {
      const std::int64_t away = std::max({std::int64_t{0}, span.begin_ns - at_ns, at_ns - span.end_ns + 1});
      if (away < distance) nearest = {track, span};
      distance = std::min(distance, away);
    }
    if (nearest) return nearest;
  }
  return std::nullopt;
}

}  // namespace shardscope::gui
