// What of an estimate is our own engine's alone: how its lanes overlap.

#include <algorithm>

#include "simulator/analytic/engine_time.h"
#include "simulator/analytic/estimate_state.h"

namespace shardscope {

/// A block computed again, with the collectives in it.
double Estimator::State::again_time(const PartCosts& part, const Plan& plan) const {
  const Placement group{static_cast<double>(plan.tp), 1};
  const double one = plan.tp == 1 ? 0
                     : plan.sp    ? network.all_gather(part.traffic.tensor, group)
                                  : network.all_reduce(part.traffic.tensor, group);
  return part.again.kernel_seconds() + part.again.kernels * gpu.kernel_s() * kElementwiseStart +
         part.traffic.calls.again * one;
}

/// The same of our own engine, part by part in their order.
void Estimator::State::add_engine_gathers(StageTime& t, const Plan& plan, const ModelCosts& costs,
                                          const Stage& stage) const {
  const Placement group = shard_group(plan);
  const auto part_of = [&](const PartCosts& part, double count, bool is_end) {
    StageTime own;
    add_part(own, part, plan, 1);
    const double gather = network.all_gather(part.parameters * framework.gather_bytes, group),
                 reduce = network.reduce_scatter(part.parameters * framework.reduce_bytes, group) +
                          gpu.traffic(part.parameters / group.ranks *
                                      (framework.reduce_bytes + 2 * framework.gradient_bytes));
    const double kernels = own.total() - own[TimeTerm::kTensor] - own[TimeTerm::kContext] - own[TimeTerm::kExpert];
    note(TimeTerm::kData, "all-gather of parameters", part.parameters * framework.gather_bytes, group.ranks, gather,
         (is_end ? 1 : 2) * count);
    note(TimeTerm::kData, "reduce-scatter of gradients", part.parameters * framework.reduce_bytes, group.ranks, reduce,
         count);
    return ShardedPart{own.forward, own.backward, kernels / std::max(own.total(), 1e-12), gather, reduce};
  };
  const bool mixed = stage.mixture > stage.dense;
  const ShardedPart block = part_of(mixed ? costs.mixture : costs.dense, stage.blocks(), false);
  // What full recompute drops leaves room for the next gather where the last one was, so that it waits for that.
  const PartCosts& of_block = mixed ? costs.mixture : costs.dense;
  const Transfer alone = network.transfer(Exchange::kGather, of_block.parameters * framework.gather_bytes, group);
  const ShardLanes lanes{
      .overlap = framework.overlaps_gathers,
      .runs_ahead = framework.overlaps_gathers || plan.recompute != Recompute::kFull,
      .tail = plan.tp == 1 ? 0 : tensor_time(of_block, plan).forward / std::max(1.0, of_block.traffic.calls.forward),
      .slow = interference(),
      .share = std::min(1.0, std::max(alone.links, alone.nics * network.ranks_per_nic()))};
  const AddedSeconds more =
      shown_shards(part_of(costs.embedding, 1, true), block, stage.blocks(), part_of(costs.head, 1, true), lanes);
  t.terms[static_cast<std::size_t>(TimeTerm::kData)] += more.forward + more.backward;
  t.forward += more.forward, t.backward += more.backward;
}

/// ZeRO-3 of our own engine: what is gathered before anything runs, and what comes after the last backward.
void Estimator::State::add_engine_ends(Estimate& e, const Plan& plan, const ModelCosts& costs, const StageParameters& p,
                                       double backward) const {
  const Placement group = data_group(plan), shards = shard_group(plan);
  const double gathered = costs.embedding.parameters * framework.gather_bytes,
               gather = network.all_gather(gathered, shards),
               reduce = network.reduce_scatter(costs.embedding.parameters * framework.reduce_bytes, shards);
  e[TimeTerm::kData] += gather + (framework.overlaps_gathers ? reduce : 0);
  note(TimeTerm::kData, "first all-gather", gathered, shards.ranks, gather, 1);
  const Placement copies{group.ranks / shards.ranks, group.stride * shards.ranks};
  const double bytes = p.all() * framework.reduce_bytes / shards.ranks, all = network.all_reduce(bytes, copies);
  e[TimeTerm::kData] += exposed(all, backward);
  note(TimeTerm::kData, "all-reduce between copies", bytes, copies.ranks, all, 1);
}

/// Seconds in which a bucket is reduced, with the copies into and out of another type, or the addition of what ZeRO-2
/// keeps.
double Estimator::State::reduced(const Plan& plan, double parameters) const {
  const Placement group = data_group(plan);
  const double bytes = parameters * framework.reduce_bytes, own = parameters / group.ranks,
               both = framework.reduce_bytes + framework.gradient_bytes;
  const double one = plan.zero > 0 ? network.reduce_scatter(bytes, group) : network.all_reduce(bytes, group);
  if (plan.zero == 2) return one + gpu.traffic(own * (both + framework.gradient_bytes));
  if (framework.reduce_bytes == framework.gradient_bytes) return one;
  return one + gpu.traffic((parameters + (plan.zero > 0 ? own : parameters)) * both);
}

/// What reductions add to a step of this stage (ZeRO-0 to 2).
double Estimator::State::engine_reductions(const Plan& plan, const Stage& stage, const StageTime& t) {
  const Buckets& buckets = bucket_maker.of(stage, plan.tp);
  const auto m = static_cast<double>(plan.micro_batches());
  const double mean = buckets.all() / buckets.count;
  note(TimeTerm::kData, plan.zero > 0 ? "reduce-scatter of gradients" : "all-reduce of gradients",
       mean * framework.reduce_bytes, data_group(plan).ranks, reduced(plan, mean),
       (plan.zero == 2 ? m : 1) * buckets.count);
  return shown_reductions({.forward = t.forward,
                           .backward = t.backward,
                           .first = reduced(plan, buckets.first.parameters),
                           .between = reduced(plan, buckets.between.parameters),
                           .last = reduced(plan, buckets.last.parameters),
                           .buckets = buckets,
                           .each = plan.zero == 2,
                           .overlap = framework.overlaps_gradients,
                           .slow = interference()},
                          m);
}

/// Our own engine: reductions by the buckets that they come in, then gathers after the update.
void Estimator::State::add_engine_data(Estimate& e, const Plan& plan, const ModelCosts& costs,
                                       const std::vector<StageKind>& stages, const StageTime& t) {
  const Placement group = data_group(plan);
  if (group.ranks <= 1) return;
  const Stage& first = stages.front().stage;
  if (plan.zero == 3) {
    return add_engine_ends(e, plan, costs, parameters_of(costs, first, workload.model), t.backward);
  }
  // Without overlap the last backward of every stage waits for its reductions, and the stage before for that: but not
  // for the last of them.
  for (std::size_t i = 1; i < stages.size() && !framework.overlaps_gradients; ++i) {
    const Stage& stage = stages[i].stage;
    const double last = bucket_maker.of(stage, plan.tp).last.parameters;
    e[TimeTerm::kData] += stages[i].count * (engine_reductions(plan, stage, t) - reduced(plan, last));
  }
  e[TimeTerm::kData] += engine_reductions(plan, first, t);
  if (plan.zero == 0) return;
  const Buckets& buckets = bucket_maker.of(first, plan.tp);
  const double count = buckets.count, mean = buckets.all() / count;
  const double gather = network.all_gather(mean * framework.gather_bytes, group);
  // Each bucket is gathered while the next one is updated.
  const double update = e[TimeTerm::kOptimizer] * (1 - 1 / count);
  e[TimeTerm::kData] += gather + added((count - 1) * gather, update, interference());
  note(TimeTerm::kData, "all-gather of parameters", mean * framework.gather_bytes, group.ranks, gather, count);
}

/// What our own engine reduces once a step: the loss over replicas and stages, the norm of gradients over all that
/// share them out.
double Estimator::State::scalars(const Plan& plan) const {
  const Placement tensor{static_cast<double>(plan.tp), 1},
      data = data_group(plan), stages{static_cast<double>(plan.pp), static_cast<double>(plan.gpus) / plan.pp};
  return (plan.zero > 0 ? 2 : 1) * network.all_reduce(4, data) + 2 * network.all_reduce(4, stages) +
         network.all_reduce(8, tensor);
}

}  // namespace shardscope
