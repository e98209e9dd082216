// What our own engine does once gradients are reduced: the update on the device or on the host, with what is offloaded.

#include <algorithm>
#include <utility>

#include "simulator/analytic/engine_time.h"
#include "simulator/analytic/estimate_state.h"

namespace shardscope {
namespace {

constexpr double kHostEfficiency = 0.8, kDriveLatency = 100e-6;  // simulator/cost/cluster_costs.cpp. Guesses

}  // namespace

/// Adam on the host: fp32 parameter, moments, the gradient, and the parameter in the type of products.
double Estimator::State::host_update(const Plan& plan, double elements) const {
  const double bytes = 8 + 16 + framework.gradient_bytes + (framework.master_bytes > 0 ? framework.parameter_bytes : 0);
  return elements * bytes / host_rate(plan);
}

/// Of the host's memory, for one device.
double Estimator::State::host_rate(const Plan& plan) const {
  return target.system.host_memory_bandwidth.value / devices_of_node(plan) * kHostEfficiency;
}

/// Updates by which the optimizer goes: of buckets, those of experts that are dealt out last; or of parts of the model.
UpdatePieces Estimator::State::pieces_of_update(const Plan& plan, const ModelCosts& costs, const Stage& stage) {
  const double ranks = plan.zero > 0 ? data_group(plan).ranks : 1;
  if (stage_in_use(plan) == 3) {
    const StageParameters p = parameters_of(costs, stage, workload.model);
    const double blocks = std::max(1.0, stage.blocks()), ends = costs.embedding.parameters + costs.head.parameters;
    const double own = own_parameters(p, plan, true, 1), share = own / std::max(1.0, p.all());
    return {costs.embedding.parameters * share, (p.all() - ends) * share / blocks, costs.head.parameters * share,
            blocks + 2};
  }
  const Buckets& b = bucket_maker.of(stage, plan.tp, plan.ep);
  const double last = b.last.parameters / ranks, first = b.count > 1 ? b.first.parameters / ranks : last;
  if (b.dealt_out <= 0) return {first, b.between.parameters / ranks, last, b.count};
  const double more = std::ceil(b.dealt_out / static_cast<double>(framework.bucket_elements)),
               experts = b.dealt_out / (plan.zero > 0 ? expert_data_group(plan).ranks : 1) / more;
  const double between = b.all() / ranks - first + (more - 1) * experts, count = b.count + more;
  return {first, count > 2 ? between / (count - 2) : 0, experts, count};
}

/// Adam on the host, piece by piece, each result going up while the next is made; but not two ahead of what still goes
/// up, since results lie in two places by turns.
double Estimator::State::updated_and_sent(const Plan& plan, const UpdatePieces& pieces) const {
  double adam = 0, up = 0, up_before = 0;
  const auto step = [&](double elements) {
    adam = std::max(adam, up_before) + host_update(plan, elements);
    up_before = std::exchange(up, std::max(up, adam) + copied(plan, elements * framework.parameter_bytes, 1));
  };
  step(pieces.first);
  constexpr double kShown = 6;  // by then they go on as they did
  const double between = std::max(0.0, pieces.count - 2), stepped = std::min(between, kShown);
  for (double i = 0; i < stepped; ++i) step(pieces.between);
  const double rest = (between - stepped) * std::max(host_update(plan, pieces.between),
                                                     copied(plan, pieces.between * framework.parameter_bytes, 1));
  adam += rest, up += rest, up_before += rest;
  if (pieces.count > 1) step(pieces.last);
  return up;
}

/// Without overlap compute waits for a bucket's copy too, which reads what was reduced in place.
bool Estimator::State::waits_for_copies(const Plan& plan) const {
  return plan.offload != Offload::kNone && !framework.overlaps_gradients && data_group(plan).ranks > 1 && plan.zero < 2;
}

/// A rank's part of so many gradients, to the host.
double Estimator::State::gradients_down(const Plan& plan, double parameters) const {
  return copied(plan, parameters / data_group(plan).ranks * framework.gradient_bytes, 1);
}

/// Likewise of experts that are dealt out, which have buckets of their own.
double Estimator::State::experts_down(const Plan& plan, double parameters) const {
  const double own = parameters / std::max(1.0, expert_data_group(plan).ranks);
  return copied(plan, own * framework.gradient_bytes,
                std::ceil(parameters / static_cast<double>(framework.bucket_elements)));
}

/// What is offloaded: gradients of the last micro-batch go down as they are reduced; the last of them shows.
double Estimator::State::shown_gradients_down(const Plan& plan, const ModelCosts& costs, const Stage& stage,
                                              double backward) {
  const UpdatePieces pieces = pieces_of_update(plan, costs, stage);
  const double own = pieces.all(), down = copied(plan, own * framework.gradient_bytes, pieces.count);
  note(TimeTerm::kOffload, "gradients over PCIe", own * framework.gradient_bytes, 1, down, 1);
  const double last = stage_in_use(plan) == 3
                          ? copied(plan, pieces.first * framework.gradient_bytes, 1)  // backwards
                          : gradients_down(plan, bucket_maker.of(stage, plan.tp, plan.ep).last.parameters);
  if (waits_for_copies(plan)) return 0;
  return std::max(last, down - backward * (1 - 1 / pieces.count));
}

/// The update on the host (core/program/passes/offload.cpp). On a drive (zero 3) its state comes in sub-groups: read,
/// updated, written, one after the other, but the first is read ahead.
double Estimator::State::engine_host_step(const Plan& plan, const UpdatePieces& pieces, double before) const {
  const double own = pieces.all();
  const double update = host_update(plan, own);
  note(TimeTerm::kOffload, "update in the host's memory", own * 28, 1, update, 1);
  double seconds = update;
  if (!offloads_parameters(plan)) {
    const double up = copied(plan, own * framework.parameter_bytes, pieces.count);
    seconds = updated_and_sent(plan, pieces);
    note(TimeTerm::kOffload, "parameters over PCIe", own * framework.parameter_bytes, 1, up, 1);
  } else if (swaps(plan)) {  // from the drive's buffers to where they wait
    seconds += own * 2 * framework.parameter_bytes / host_rate(plan);
  }
  if (!swaps(plan) || target.system.nvme_read.value <= 0) return seconds;
  const double group = std::max(1.0, static_cast<double>(framework.sub_group_elements));
  const double devices = devices_of_node(plan), groups = std::max(1.0, std::ceil(own / group)),
               ahead = std::min(1.0, group / own);
  // Of a group's three tensors each is read when the one before has been written.
  const auto of_group = [&](double elements, double rate) {
    return 12 * elements * devices / rate + 3 * kDriveLatency;
  };
  const double largest = std::min(own, group), r = of_group(largest, target.system.nvme_read.value),
               w = of_group(largest, target.system.nvme_write.value), last = own - (groups - 1) * largest,
               read = of_group(own, target.system.nvme_read.value),
               written = of_group(own, target.system.nvme_write.value);
  note(TimeTerm::kOffload, "state read from the drive", own * 12, 1, read, 1);
  note(TimeTerm::kOffload, "state written to it", own * 12, 1, written, 1);
  return seconds + std::max(0.0, read * ahead - before) + (groups - 1) * std::max(w + r / 3, w / 3 + r) +
         of_group(last, target.system.nvme_write.value);
}

/// The norm of gradients, the update, and gathers of its results, each while the next bucket is updated. `before`:
/// seconds until then.
Estimator::State::EngineUpdate Estimator::State::engine_update(const Plan& plan, const ModelCosts& costs,
                                                               const Stage& stage, double before) {
  EngineUpdate t;
  const bool on_host = plan.offload != Offload::kNone;
  const UpdatePieces pieces = pieces_of_update(plan, costs, stage);
  const double own = pieces.all();
  double beside = 0;  // of which gathers run
  if (on_host) {
    t.optimizer = gpu.traffic(own / pieces.count * framework.gradient_bytes);  // the last part of the norm
    t.offload = engine_host_step(plan, pieces, before);
    beside = t.offload;
    note(TimeTerm::kOptimizer, "norm of the last gradients", own / pieces.count * framework.gradient_bytes, 1,
         t.optimizer, 1);
  } else {
    const double bytes = own * (2 * (framework.master_bytes > 0 ? framework.master_bytes : framework.parameter_bytes) +
                                2 * framework.moment_bytes + 2 * framework.gradient_bytes + 2);
    beside = t.optimizer = gpu.traffic(bytes);
    note(TimeTerm::kOptimizer, "state, gradient and parameters", bytes, 1, t.optimizer, 1);
  }
  const Placement group = data_group(plan);
  if (plan.zero == 0 || plan.zero == 3 || group.ranks <= 1) return t;
  const Buckets& buckets = bucket_maker.of(stage, plan.tp, plan.ep);
  const double mean = buckets.all() / buckets.count, one = network.all_gather(mean * framework.gather_bytes, group);
  note(TimeTerm::kData, "all-gather of parameters", mean * framework.gather_bytes, group.ranks, one, buckets.count);
  const Placement experts = expert_data_group(plan);
  const bool dealt_out = buckets.dealt_out > 0;
  const double last = network.all_gather(pieces.last * (dealt_out ? experts : group).ranks * framework.gather_bytes,
                                         dealt_out ? experts : group),
               all = buckets.count * one + network.all_gather(buckets.dealt_out * framework.gather_bytes, experts);
  t.data = last + added(std::max(0.0, all - last), beside * (1 - pieces.last / own), on_host ? 0 : interference());
  return t;
}

/// All stages begin their updates together, since the norm is over all of them; a step ends with the last.
void Estimator::State::add_engine_update(Estimate& e, const Plan& plan, const ModelCosts& costs,
                                         const std::vector<StageKind>& stages, const StageTime& t) {
  const Stage& first = stages.front().stage;
  if (plan.offload != Offload::kNone) {
    e[TimeTerm::kOffload] += shown_gradients_down(plan, costs, first, t.backward);
  }
  double before = 0;
  for (const double s : e.seconds) before += s;
  EstimateNotes* const noted = std::exchange(notes, nullptr);
  const Stage* last = &first;
  EngineUpdate longest = engine_update(plan, costs, first, before);
  for (std::size_t i = 1; i < stages.size(); ++i) {
    const EngineUpdate other = engine_update(plan, costs, stages[i].stage, before);
    if (other.total() > longest.total()) longest = other, last = &stages[i].stage;
  }
  notes = noted;
  if (notes != nullptr) engine_update(plan, costs, *last, before);
  e[TimeTerm::kOptimizer] += longest.optimizer, e[TimeTerm::kOffload] += longest.offload,
      e[TimeTerm::kData] += longest.data;
}

}  // namespace shardscope
