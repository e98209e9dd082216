#include "simulator/simulate.h"

#include <algorithm>
#include <array>
#include <variant>

#include "core/check.h"
#include "simulator/cost/cluster_costs.h"
#include "simulator/cost/host_costs.h"
#include "simulator/make_prediction.h"

namespace shardscope {

namespace {

std::vector<RankTrace*> open_traces(std::span<const Program> ranks, TraceSink* sink) {
  std::vector<RankTrace*> traces;
  if (sink == nullptr) return traces;
  for (const Program& program : ranks) traces.push_back(sink->open_rank(program.rank, program));
  return traces;
}

double seconds(std::int64_t ns, double steps) { return from_ns(ns).value / steps; }

StepBreakdown breakdown_of(const RankTimes& times, double steps) {
  const auto busy = [&](TimeClass c) { return seconds(times.busy_ns[static_cast<std::size_t>(c)], steps); };
  return {busy(TimeClass::kCompute), busy(TimeClass::kCommunication), seconds(times.idle_ns, steps),
          busy(TimeClass::kOffload), busy(TimeClass::kOptimizer)};
}

// In whole ns, so that the mean is the same however ranks are counted together.
void add_times(RankTimes& sum, const RankTimes& times, int count) {
  for (std::size_t c = 0; c < kTimeClasses; ++c) sum.busy_ns[c] += count * times.busy_ns[c];
  sum.idle_ns += count * times.idle_ns;
}

}  // namespace

Prediction make_prediction(std::vector<RankPrediction> ranks, const ClockResult& clock, const CostModel& costs,
                           std::int64_t tokens_per_step, DType dtype, const SimulateOptions& options) {
  Prediction prediction;
  prediction.step_time_s = seconds(clock.end_ns, options.steps);
  RankTimes sum;
  int world = 0;
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    ranks[r].breakdown = breakdown_of(clock.ranks[r], options.steps);
    add_times(sum, clock.ranks[r], ranks[r].count);
    world += ranks[r].count;
  }
  prediction.ranks = std::move(ranks);
  prediction.breakdown = breakdown_of(sum, static_cast<double>(options.steps) * world);
  prediction.ops = clock.ops;
  prediction.calibrated = costs.calibrated();
  prediction.peak_flops_per_rank = costs.peak_per_rank(dtype).value;
  if (prediction.step_time_s <= 0) return prediction;
  prediction.tokens_per_s = static_cast<double>(tokens_per_step) / prediction.step_time_s;
  const double all_peak = prediction.peak_flops_per_rank * world;
  if (all_peak > 0) prediction.mfu = prediction.tokens_per_s * options.flops_per_token / all_peak;
  return prediction;
}

DType model_dtype(const Program& program) {
  std::array<double, kDTypes> total{};
  for (const Instruction& instruction : program.instructions) {
    const auto* product = std::get_if<MatMul>(&instruction.op);
    if (product == nullptr) continue;
    const DType dtype = program.buffer(product->a.buffer).dtype;
    total[static_cast<std::size_t>(dtype)] += flops(instruction.op);
  }
  const auto most = std::max_element(total.begin(), total.end());
  return *most > 0 ? static_cast<DType>(most - total.begin()) : DType::kF32;
}

const RankPrediction& prediction_of(const Prediction& prediction, int rank) {
  const auto r = static_cast<std::size_t>(rank);
  return prediction.ranks[prediction.speaker.empty() ? r : static_cast<std::size_t>(prediction.speaker[r])];
}

Prediction simulate(std::span<const Program> ranks, const CostModel& costs, const SimulateOptions& options) {
  SS_CHECK(!ranks.empty());
  SS_CHECK(options.steps >= 1, options.steps);
  const FlatProgram flat = flatten(ranks, costs, options.sink != nullptr);
  const std::vector<RankTrace*> traces = open_traces(ranks, options.sink);
  const ClockResult clock = run_clock(flat, {options.steps, traces});
  std::vector<RankPrediction> about(ranks.size());
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    about[r].rank = ranks[r].rank;
    about[r].peak = compute_memory_peak(ranks[r]);
    if (!traces.empty() && traces[r] != nullptr) traces[r]->finish(about[r].peak, 0);
  }
  return make_prediction(std::move(about), clock, costs, ranks.front().tokens_per_step, model_dtype(ranks.front()),
                         options);
}

Prediction simulate(std::span<const Program> ranks, const Machine& machine, const SimulateOptions& options) {
  return simulate(ranks, HostCosts(machine, static_cast<int>(ranks.size())), options);
}

Prediction simulate(std::span<const Program> ranks, const ClusterSpec& cluster, const SimulateOptions& options) {
  return simulate(ranks, ClusterCosts(cluster), options);
}

}  // namespace shardscope
