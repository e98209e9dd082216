#include "simulator/simulate.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"
#include "core/error.h"
#include "simulator/clock/virtual_clock.h"
#include "simulator/cost/cluster_costs.h"
#include "simulator/cost/host_costs.h"

namespace shardscope {

namespace {

std::vector<RankTrace*> open_traces(std::span<const Program> ranks, TraceSink* sink) {
  std::vector<RankTrace*> traces;
  if (sink == nullptr) return traces;
  for (const Program& program : ranks) traces.push_back(sink->open_rank(program.rank, program));
  return traces;
}

double seconds(std::int64_t ns, int steps) { return from_ns(ns).value / steps; }

StepBreakdown breakdown_of(const RankTimes& times, int steps) {
  const auto busy = [&](TimeClass c) { return seconds(times.busy_ns[static_cast<std::size_t>(c)], steps); };
  return {busy(TimeClass::kCompute), busy(TimeClass::kCommunication), seconds(times.idle_ns, steps),
          busy(TimeClass::kOffload), busy(TimeClass::kOptimizer)};
}

StepBreakdown mean_of(const std::vector<RankPrediction>& ranks) {
  StepBreakdown mean;
  const double share = 1.0 / static_cast<double>(ranks.size());
  for (const RankPrediction& rank : ranks) {
    mean.compute_s += share * rank.breakdown.compute_s;
    mean.exposed_communication_s += share * rank.breakdown.exposed_communication_s;
    mean.bubble_s += share * rank.breakdown.bubble_s;
    mean.offload_s += share * rank.breakdown.offload_s;
    mean.optimizer_s += share * rank.breakdown.optimizer_s;
  }
  return mean;
}

void predict_rates(Prediction& prediction, std::span<const Program> ranks, const SimulateOptions& options) {
  if (prediction.step_time_s <= 0) return;
  prediction.tokens_per_s = static_cast<double>(ranks.front().tokens_per_step) / prediction.step_time_s;
  const double all_peak = prediction.peak_flops_per_rank * static_cast<double>(ranks.size());
  if (all_peak > 0) prediction.mfu = prediction.tokens_per_s * options.flops_per_token / all_peak;
}

}  // namespace

Prediction simulate(std::span<const Program> ranks, const CostModel& costs, const SimulateOptions& options) {
  SS_CHECK(!ranks.empty());
  SS_CHECK(options.steps >= 1, options.steps);
  const FlatProgram flat = flatten(ranks, costs, options.sink != nullptr);
  const std::vector<RankTrace*> traces = open_traces(ranks, options.sink);
  const ClockResult clock = run_clock(flat, {options.steps, traces});
  Prediction prediction;
  prediction.step_time_s = seconds(clock.end_ns, options.steps);
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    const MemoryPeak peak = compute_memory_peak(ranks[r]);
    prediction.ranks.push_back({ranks[r].rank, peak, breakdown_of(clock.ranks[r], options.steps)});
    if (!traces.empty() && traces[r] != nullptr) traces[r]->finish(peak, 0);
  }
  prediction.breakdown = mean_of(prediction.ranks);
  prediction.ops = clock.ops;
  prediction.calibrated = costs.calibrated();
  prediction.peak_flops_per_rank = costs.peak_per_rank().value;
  predict_rates(prediction, ranks, options);
  return prediction;
}

Prediction simulate(std::span<const Program> ranks, const Machine& machine, const SimulateOptions& options) {
  return simulate(ranks, HostCosts(machine, static_cast<int>(ranks.size())), options);
}

Prediction simulate(std::span<const Program> ranks, const ClusterSpec& cluster, const SimulateOptions& options) {
  return simulate(ranks, ClusterCosts(cluster), options);
}

}  // namespace shardscope
