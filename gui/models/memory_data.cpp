#include "gui/models/memory_data.h"

#include <algorithm>
#include <cmath>

#include "gui/models/memory_why.h"

namespace shardscope::gui {
namespace {

constexpr double kMargin = 10, kLine = 18, kGutter = 76;
constexpr double kLowestPanel = 76, kLowestHeat = 24, kHeatText = 22;
constexpr double kWidthForSide = 900, kWidestSide = 460;
constexpr double kNarrowestStep = 48;  ///< pixels, of one that its prediction is laid over
constexpr int kOverviewColumns = 512;

struct StepSpan {
  std::int64_t begin_ns = 0, length_ns = 0;
};

std::vector<StepSpan> steps_of(const MemoryTimeline& memory, int rank) {
  std::vector<StepSpan> steps;
  Rows rows = memory.profile().rows("SELECT start_ns, dur_ns FROM step WHERE run = ? AND rank = ? ORDER BY step",
                                    {Value(memory.facts().run), Value(std::int64_t{rank})});
  while (rows.next()) {
    const StepSpan step{rows.integer(0), rows.integer(1)};
    const std::int64_t latest = bucket_ns(kMaxLevel);
    if (step.begin_ns >= 0 && step.length_ns > 0 && step.begin_ns <= latest && step.length_ns <= latest)
      steps.push_back(step);
  }
  return steps;
}

MemoryPeakBar peak_of(const RankSpace& known, Space space, const MemoryTimeline* predicted) {
  MemoryPeakBar bar{known.rank, known.peak_bytes, 0, known.at_peak, {}};
  const RankSpace* p = predicted == nullptr ? nullptr : predicted->facts().find(space, known.rank);
  if (p == nullptr) return bar;
  bar.predicted_bytes = p->peak_bytes;
  bar.predicted_at_peak = p->at_peak;
  return bar;
}

/// The ranks whose panels are shown, top to bottom.
std::vector<int> shown_ranks(const MemoryData& data, const MemoryState& state, int room) {
  std::vector<int> ranks;
  const auto count = static_cast<std::size_t>(std::max(0, room));
  if (state.ranks == MemoryRanks::kAll) {
    const auto last = data.ranks.size() - std::min(data.ranks.size(), count);
    const auto first = std::min(static_cast<std::size_t>(std::max(0, state.first)), last);
    for (std::size_t i = first; i < data.ranks.size() && ranks.size() < count; ++i) ranks.push_back(data.ranks[i]);
    return ranks;
  }
  const bool has = std::binary_search(data.ranks.begin(), data.ranks.end(), state.rank);
  if (state.ranks == MemoryRanks::kOne && has) return {state.rank};
  const std::size_t most = state.ranks == MemoryRanks::kOne ? 1 : std::min<std::size_t>(count, kWorstRanks);
  for (std::size_t i = 0; i < data.peaks.size() && i < most; ++i) ranks.push_back(data.peaks[i].rank);
  return ranks;
}

/// The predicted step, stretched to each measured one in the window.
std::vector<MemoryPoint> laid_over(const MemoryTimeline& memory, const MemoryTimeline& predicted, int rank, Space space,
                                   TimeWindow window, int pixels) {
  const std::vector<StepSpan> theirs = steps_of(predicted, rank);
  std::vector<StepSpan> ours = steps_of(memory, rank);
  std::erase_if(ours, [&](const StepSpan& s) {
    return s.begin_ns >= window.end_ns || s.begin_ns + s.length_ns <= window.begin_ns;
  });
  if (theirs.empty() || ours.empty()) return {};
  if (static_cast<double>(ours.size()) * kNarrowestStep > pixels) {  // too narrow: only how high it goes
    const RankSpace* known = predicted.facts().find(space, rank);
    if (known == nullptr) return {};
    return {{window.begin_ns, known->peak_bytes}, {window.end_ns, known->peak_bytes}};
  }
  const StepSpan& model = theirs.back();  // the first one may begin with less than is there later
  constexpr int kPointsPerStep = 400;
  const std::vector<MemoryStretch> stretches =
      predicted.look(rank, space, {model.begin_ns, model.begin_ns + model.length_ns}, kPointsPerStep);
  std::vector<MemoryPoint> points;
  for (const StepSpan& step : ours) {
    const double factor = static_cast<double>(step.length_ns) / static_cast<double>(model.length_ns);
    for (const MemoryStretch& s : stretches) {
      const double after = static_cast<double>(s.time.begin_ns - model.begin_ns) * factor;
      points.push_back({step.begin_ns + std::llround(after), s.highest});
    }
  }
  return points;
}

std::optional<MemoryMark> mark_above(const MemoryTimeline& memory, int rank, Space space, std::int64_t bytes) {
  const std::optional<MemoryInstant> instant = memory.first_above(rank, space, bytes);
  if (!instant) return std::nullopt;
  return MemoryMark{*instant, describe_op(memory, rank, instant->op)};
}

MemoryPanel load_panel(const MemoryTimeline& memory, const MemoryTimeline* predicted, const MemoryState& state,
                       const MemoryData& data, int rank, int pixels) {
  MemoryPanel panel;
  panel.peak = peak_of(*memory.facts().find(state.space, rank), state.space, predicted);
  panel.stretches = memory.look(rank, state.space, data.window, pixels);
  panel.peak_at = mark_above(memory, rank, state.space, panel.peak.peak_bytes - 1);
  if (data.limit_bytes > 0) panel.over = mark_above(memory, rank, state.space, data.limit_bytes);
  if (predicted != nullptr) panel.predicted = laid_over(memory, *predicted, rank, state.space, data.window, pixels);
  return panel;
}

/// To a column of the overview; then, among the ranks that are over it there, exactly.
void find_first_over(const MemoryTimeline& memory, Space space, MemoryData& data) {
  constexpr std::size_t kMostLookedAt = 64;  // each is a question to the file
  if (data.limit_bytes <= 0) return;
  std::size_t earliest = SIZE_MAX;
  std::vector<int> ranks;
  for (std::size_t r = 0; r < data.overview.ranks.size(); ++r) {
    const auto& row = data.overview.highest[r];
    const auto over = std::find_if(row.begin(), row.end(), [&](std::int64_t b) { return b > data.limit_bytes; });
    const auto column = static_cast<std::size_t>(over - row.begin());
    if (over == row.end() || column > earliest) continue;
    if (column < earliest) ranks.clear();
    earliest = column;
    if (ranks.size() < kMostLookedAt) ranks.push_back(data.overview.ranks[r]);
  }
  if (ranks.empty()) return;
  data.first_over_rank = ranks.front();
  data.first_over_ns = data.window.begin_ns + static_cast<std::int64_t>(earliest) * data.overview.column_ns;
  std::int64_t first = INT64_MAX;
  for (int rank : ranks) {
    const auto over = memory.first_above(rank, space, data.limit_bytes);
    if (!over || over->time_ns < data.window.begin_ns || over->time_ns >= first) continue;
    data.first_over_rank = rank;
    data.first_over_ns = first = over->time_ns;
  }
}

TimeWindow shown_window(TimeWindow wanted, TimeWindow extent) {
  if (wanted.length() <= 0 || wanted.begin_ns >= extent.end_ns || wanted.end_ns <= extent.begin_ns) return extent;
  return {std::max(wanted.begin_ns, extent.begin_ns), std::min(wanted.end_ns, extent.end_ns)};
}

}  // namespace

MemoryFrame memory_frame(std::size_t ranks, MemoryRanks which, double width, double height) {
  MemoryFrame frame;
  frame.left = kMargin + kGutter;
  frame.side_width = width >= kWidthForSide ? std::min(kWidestSide, std::floor(width * 0.3)) : 0;
  frame.side_left = width - kMargin - frame.side_width;
  const double right = frame.side_width > 0 ? frame.side_left - 3 * kMargin : width - kMargin;
  frame.width = std::max(1.0, std::floor(right - frame.left));
  frame.top = kMargin + 2 * kLine + kMargin;
  frame.bottom = std::max(frame.top + 1, height - kMargin - kLine - kMargin);
  double room = frame.bottom - frame.top;
  if (ranks > 1 && room > kLowestPanel + kHeatText + kLowestHeat) {
    const double wanted = std::floor(std::min(room * 0.3, static_cast<double>(ranks) * 14));
    frame.heat_height = std::min(std::max(kLowestHeat, wanted), room - kLowestPanel - kHeatText);
    frame.heat_top = frame.bottom - frame.heat_height;
    room -= frame.heat_height + kHeatText;
  }
  const auto most = which == MemoryRanks::kOne     ? std::size_t{1}
                    : which == MemoryRanks::kWorst ? std::min<std::size_t>(ranks, kWorstRanks)
                                                   : ranks;
  const auto fit = static_cast<std::size_t>(std::max(1.0, std::floor(room / kLowestPanel)));
  frame.panels = static_cast<int>(std::min(most, fit));
  frame.panel_height = frame.panels > 0 ? std::floor(room / frame.panels) : room;
  return frame;
}

MemoryData load_memory_data(const MemoryTimeline& memory, const MemoryTimeline* predicted, const MemoryState& state,
                            const MemoryFrame& frame) {
  const MemoryFacts& facts = memory.facts();
  MemoryData data;
  for (int space = 0; space < kSpaces; ++space) {
    if (!facts.of(static_cast<Space>(space)).empty()) data.spaces.push_back(static_cast<Space>(space));
  }
  data.extent = facts.extent.length() > 0 ? facts.extent : TimeWindow{0, 1};
  data.window = shown_window(state.window, data.extent);
  data.limit_bytes = state.limit_bytes > 0 ? state.limit_bytes : state.space == Space::kDevice ? facts.limit_bytes : 0;
  for (const RankSpace& known : facts.of(state.space)) {
    data.ranks.push_back(known.rank);
    data.peaks.push_back(peak_of(known, state.space, predicted));
  }
  std::stable_sort(data.peaks.begin(), data.peaks.end(),
                   [](const MemoryPeakBar& a, const MemoryPeakBar& b) { return a.peak_bytes > b.peak_bytes; });
  const int pixels = std::max(1, static_cast<int>(frame.width));
  for (int rank : shown_ranks(data, state, frame.panels))
    data.panels.push_back(load_panel(memory, predicted, state, data, rank, pixels));
  if (frame.heat_height > 0) {
    data.overview = memory.overview(state.space, data.window, std::min(pixels, kOverviewColumns));
    find_first_over(memory, state.space, data);
  }
  data.why = load_why(memory, state.space, data);
  if (state.cursor) data.at_cursor = live_allocations(memory, state.cursor->rank, state.space, state.cursor->time_ns);
  return data;
}

}  // namespace shardscope::gui
