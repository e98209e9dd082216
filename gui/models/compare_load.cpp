#include "gui/models/compare_load.h"

#include <algorithm>

#include "core/error.h"
#include "gui/models/other_run.h"

namespace shardscope::gui {
namespace {

int choose_rank(const RunAlignment& alignment, int asked) {
  if (asked < 0) return alignment.ranks.front();
  if (std::binary_search(alignment.ranks.begin(), alignment.ranks.end(), asked)) return asked;
  throw Error(ErrorKind::kConfig, "there is no rank " + std::to_string(asked) + " that both runs have");
}

std::vector<std::int64_t> lay_out_axis(const RunAlignment& alignment) {
  std::vector<std::int64_t> at = {0};
  for (const AlignedStep& step : alignment.steps)
    at.push_back(at.back() + std::max<std::int64_t>(1, std::max(step.a.length(), step.b.length())));
  return at;
}

void add_differences(const Timeline& a, const Timeline& b, PairFacts& facts) {
  const std::vector<SliceDifference> found =
      slice_differences(a, b, facts.alignment, facts.rank, std::string(to_string(Lane::kCompute)));
  facts.notable_ns = notable_ns(found, facts.alignment);
  facts.differences.reserve(found.size());
  for (const SliceDifference& d : found) {
    const std::size_t step = step_at(facts.alignment, d.a.begin_ns);
    const std::int64_t shift = facts.at_ns[step] - facts.alignment.steps[step].a.begin_ns;
    facts.differences.push_back({{d.a.begin_ns + shift, d.a.end_ns + shift}, d.delta_ns(), d.step});
  }
}

/// The largest difference of an op that both runs have.
const OpLabel& shown_op(const PairFacts& facts) {
  const auto in_both = [](const OpDifference& op) { return op.a_count > 0 && op.b_count > 0; };
  return std::find_if(facts.ops.begin(), facts.ops.end(), in_both)->label;  // op_differences() gives at least one
}

}  // namespace

PairFacts load_pair(const RunIn& a, const RunIn& b, const Timeline& timeline_a, const Timeline& timeline_b,
                    const CompareState& state) {
  PairFacts facts;
  facts.name_a = name_of(a.run);
  facts.name_b = name_of(b.run);
  facts.predicted_a = a.run.predicted;
  facts.predicted_b = b.run.predicted;
  facts.alignment = align_runs(a.profile, a.run.id, b.profile, b.run.id);
  facts.at_ns = lay_out_axis(facts.alignment);
  facts.rank = choose_rank(facts.alignment, state.rank);
  facts.ops = op_differences(a.profile, a.run.id, b.profile, b.run.id);
  add_differences(timeline_a, timeline_b, facts);
  return facts;
}

PairLanes load_lanes(const Timeline& timeline_a, const Timeline& timeline_b, const PairFacts& facts, TimeWindow window,
                     int pixels) {
  window = clamp(window, axis_of(facts));
  return {window, read_rank(timeline_a, facts.rank, places_of(facts, Side::kA, window), window, pixels),
          read_rank(timeline_b, facts.rank, places_of(facts, Side::kB, window), window, pixels)};
}

DurationHistogram load_histogram(const RunIn& a, const RunIn& b, const PairFacts& facts, const CompareState& state) {
  if (!state.op && facts.ops.empty()) return {};
  const OpLabel label = state.op ? *state.op : shown_op(facts);
  return make_histogram(label, op_durations(a.profile, a.run.id, label), op_durations(b.profile, b.run.id, label));
}

}  // namespace shardscope::gui
