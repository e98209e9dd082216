// What of an estimate is our own engine's alone: how its lanes overlap.

#include <algorithm>
#include <utility>

#include "simulator/analytic/engine_time.h"
#include "simulator/analytic/estimate_state.h"

namespace shardscope {
namespace {

/// Whether two stages are of the same parts, wherever they stand.
bool is_alike(const Stage& a, const Stage& b) {
  return a.dense == b.dense && a.mixture == b.mixture && a.first == b.first && a.last == b.last;
}

}  // namespace

/// A block computed again, with the collectives in it.
double Estimator::State::again_time(const PartCosts& part, const Plan& plan) const {
  const Placement group{static_cast<double>(plan.tp), 1};
  const double one = plan.tp == 1 ? 0
                     : plan.sp    ? network.all_gather(part.traffic.tensor, group)
                                  : network.all_reduce(part.traffic.tensor, group);
  return part.again.kernel_seconds() + part.again.kernels * gpu.kernel_s() * kElementwiseStart +
         part.traffic.calls.again * one;
}

/// Keys and values of a ring's next turn travel beside the attention of this one. In backward sums of their gradients
/// follow them on the same lane, one turn behind, and the last of them is waited for. What is computed again turns the
/// ring again. Ulysses' exchanges hide behind nothing.
BothWays Estimator::State::engine_context_time(const PartCosts& part, const Plan& plan) const {
  BothWays t;
  if (plan.cp > 1) {
    const double turn = network.send(part.traffic.ring, static_cast<double>(plan.tp) * plan.ulysses);
    const double n = plan.cp, shown = std::max(0.0, turn - part.forward.attention / n),
                 each = part.backward.attention / n;
    t.forward += (n - 1) * shown;
    t.backward += (plan.recompute == Recompute::kNone ? 0 : (n - 1) * shown) +
                  std::min(2.0, n - 1) * std::max(0.0, turn - each) +
                  std::max(0.0, n - 3) * std::max(0.0, 2 * turn - each) + turn;
  }
  if (plan.ulysses > 1) {
    const Placement group{static_cast<double>(plan.ulysses), static_cast<double>(plan.tp)};
    const double there = network.all_to_all(part.traffic.exchange - part.traffic.returned, group),
                 back = network.all_to_all(part.traffic.returned, group);
    t.forward += there + back, t.backward += (plan.recompute == Recompute::kFull ? 2 : 1) * (there + back);
  }
  return t;
}

/// Rows to the rank's experts and back, expert by expert. All ways there come first, beside the kernels of the first
/// expert; each next one takes memory that the answers of the one before give back, and so begins when they have gone:
/// in backward but for its first product, which needs none.
BothWays Estimator::State::engine_expert_time(const PartCosts& part, const Plan& plan) const {
  const Placement group{static_cast<double>(plan.ep), static_cast<double>(plan.tp) * plan.cp * plan.ulysses};
  const double one = network.all_to_all(part.traffic.experts, group), slow = interference(),
               more = part.traffic.own_experts - 1;
  // In a pipeline memory of messages is not shared with others, and all but the first way there and the last one back
  // hide.
  if (plan.pp > 1) {
    const auto alone = [&](double kernels) { return 2 * one + added(2 * more * one, (more + 1) * kernels, slow); };
    const double forward = alone(part.traffic.expert_forward);
    return {forward, alone(part.traffic.expert_backward) + (plan.recompute == Recompute::kFull ? forward : 0)};
  }
  const auto shown = [&](double kernels, double product) {
    return 2 * one + added(more * one, kernels, slow) + more * (one - std::min(product, (1 - slow) * one));
  };
  const double forward = shown(part.traffic.expert_forward, 0);
  return {forward, shown(part.traffic.expert_backward, part.traffic.expert_backward / 6) +
                       (plan.recompute == Recompute::kFull ? forward : 0)};
}

/// Of a block whose experts are dealt out, what is theirs.
ShardedPart Estimator::State::experts_of(const PartCosts& part, const Plan& plan, const ShardedPart& block) const {
  const Placement group = expert_data_group(plan);
  const BothWays exchanges = expert_time(part, plan);
  const double n = part.traffic.own_experts, bytes = part.expert_parameters;
  const double again = plan.recompute == Recompute::kFull ? n * part.traffic.expert_forward : 0;
  ShardedPart e{.forward = n * part.traffic.expert_forward + exchanges.forward,
                .backward = n * part.traffic.expert_backward + again + exchanges.backward,
                .kernels = block.kernels,
                .gather = moves_of(plan).gather(bytes, group).seconds};
  if (group.ranks > 1) {
    e.pack = moves_of(plan).pack_in_one(bytes);
    e.reduce = moves_of(plan).reduce(bytes, group).seconds +
               gpu.traffic(bytes / group.ranks * (framework.reduce_bytes + 2 * framework.gradient_bytes));
  }
  e.regather = e.gather, e.unpack = moves_of(plan).unpack(bytes);
  if (offloads_parameters(plan)) e.fetch = e.refetch = copied(plan, bytes / group.ranks * framework.gather_bytes, 1);
  return e;
}

/// What a part of the model moves in a micro-batch.
void Estimator::State::note_shards(const Plan& plan, double parameters, const ShardedPart& p, double count,
                                   bool is_end) const {
  if (notes == nullptr) return;
  const Placement group = shard_group(plan);
  const double gathered = gathered_bytes(plan, parameters);
  note(TimeTerm::kData, plan.quantized_weights ? "all-gather of parameters in int8" : "all-gather of parameters",
       gathered, group.ranks, p.gather, (is_end || plan.hpz > 1 ? 1 : 2) * count);
  if (plan.hpz > 1 && !is_end) {
    note(TimeTerm::kData,
         plan.quantized_weights ? "all-gather of second copies in int8" : "all-gather of second copies", gathered,
         plan.hpz, p.regather, count);
  }
  note(TimeTerm::kData, plan.quantized_gradients ? "all-to-all of gradients in int4" : "reduce-scatter of gradients",
       reduced_bytes(plan, parameters), group.ranks, p.reduce, count);
}

/// Where collectives of tensor and context parallelism and gathers want more of the same links or NICs than there is,
/// both take longer, in equal parts (simulator/clock/sharing.h).
void Estimator::State::crowd(ShardedPart& p, const PartCosts& part, const Plan& plan, const StageTime& own,
                             const ShardMoves& moves) const {
  if (plan.tp * plan.cp * plan.ulysses == 1 || own.total() <= 0) return;
  const double parameters = part.parameters - (plan.ep > 1 ? part.expert_parameters : 0);
  const Moved ahead = moves.gather(parameters, shard_group(plan)), regather = moves.regather(parameters),
              reduce = moves.reduce(parameters);
  const Moved back{regather.seconds + reduce.seconds, regather.links + reduce.links, regather.nics + reduce.nics};
  const auto add = [&](TimeTerm term, Exchange kind, double bytes, Placement group) {
    const Transfer one = network.transfer(kind, bytes, group);
    const double nics = one.nics * network.ranks_per_nic(), times = own[term] / own.total();
    const auto over = [&](const Moved& m) {
      return m.seconds > 0 ? std::max({0.0, m.links / m.seconds + one.links - 1, m.nics / m.seconds + nics - 1}) : 0;
    };
    p.crowding += times * over(ahead), p.crowding_back += times * over(back);
  };
  if (plan.tp > 1) {
    add(TimeTerm::kTensor, plan.sp ? Exchange::kGather : Exchange::kAllReduce, part.traffic.tensor,
        {static_cast<double>(plan.tp), 1});
  }
  if (plan.ulysses > 1) {
    add(TimeTerm::kContext, Exchange::kAllToAll, part.traffic.exchange,
        {static_cast<double>(plan.ulysses), static_cast<double>(plan.tp)});
  } else if (plan.cp > 1) {
    add(TimeTerm::kContext, Exchange::kSend, part.traffic.ring, {1, static_cast<double>(plan.tp)});
  }
}

/// The gradient of the last weight of a dense block, with which its backward begins.
double Estimator::State::first_product(const PartCosts& block, const Plan& plan) const {
  if (block.expert_parameters > 0) return 0;
  const double last = static_cast<double>(workload.model.intermediate) * workload.model.hidden / plan.tp;
  return block.weight_gradient * last / block.parameters;
}

/// ZeRO-3 of our own engine, part by part in their order.
void Estimator::State::add_engine_gathers(StageTime& t, const Plan& plan, const ModelCosts& costs,
                                          const Stage& stage) const {
  const Placement group = shard_group(plan);
  const Placement expert_group = expert_data_group(plan);
  const ShardMoves moves = moves_of(plan);
  // Of a rank's part: into the type of gradients, or to those of micro-batches before.
  const auto summed = [&](double parameters, const Placement& ranks) {
    if (ranks.ranks <= 1 || parameters <= 0) return 0.0;
    return gpu.traffic(parameters / ranks.ranks * (framework.reduce_bytes + 2 * framework.gradient_bytes));
  };
  const auto part_of = [&](const PartCosts& part, double count, bool is_end) {
    StageTime own;
    add_part(own, part, plan, 1);
    const double dealt_out = plan.ep > 1 ? part.expert_parameters : 0, shared = part.parameters - dealt_out;
    const double gather_experts = moves.gather(dealt_out, expert_group).seconds;
    const double keep = moves.keep(shared) / static_cast<double>(plan.micro_batches());  // once a step
    ShardedPart p{.forward = own.forward, .backward = own.backward};
    p.kernels = (own.total() - own[TimeTerm::kTensor] - own[TimeTerm::kContext] - own[TimeTerm::kExpert]) /
                std::max(own.total(), 1e-12);
    p.gather = moves.gather(shared, group).seconds + gather_experts + keep;
    p.regather = moves.regather(shared).seconds + gather_experts;
    p.reduce = moves.reduce(shared).seconds + summed(shared, group) + moves.reduce(dealt_out, expert_group).seconds +
               summed(dealt_out, expert_group);
    p.unpack = moves.unpack(std::max(shared, dealt_out)), p.pack = moves.pack(shared);
    crowd(p, part, plan, own, moves);
    note_shards(plan, part.parameters, p, count, is_end);
    if (!offloads_parameters(plan)) return p;
    const double own_shared = shared / group.ranks, own_experts = dealt_out / expert_group.ranks;
    p.fetch = copied(plan, (own_shared + own_experts) * framework.gather_bytes, 1);
    p.refetch = plan.hpz > 1 ? copied(plan, own_experts * framework.gather_bytes, 1) : p.fetch;
    return p;
  };
  const bool mixed = stage.mixture > stage.dense;
  const ShardedPart block = part_of(mixed ? costs.mixture : costs.dense, stage.blocks(), false);
  // What full recompute drops leaves room for the next gather where the last one was, so that it waits for that.
  const PartCosts& of_block = mixed ? costs.mixture : costs.dense;
  const bool prefetches =
      framework.overlaps_gathers && 2 * of_block.parameters <= static_cast<double>(framework.live_elements);
  const ShardLanes lanes{
      .overlap = framework.overlaps_gathers,
      .runs_ahead = prefetches || (plan.recompute != Recompute::kFull && !offloads_parameters(plan)),
      .waits = framework.overlaps_gathers && !prefetches,
      .apart = plan.zero_plus_plus(),
      .first_product = plan.recompute == Recompute::kFull ? 0 : first_product(of_block, plan),
      // The first sums lie apart, where they need no other type; all later ones are made where the gradients were.
      .leaves = plan.quantized_gradients && framework.reduce_bytes == framework.gradient_bytes
                    ? 1 / static_cast<double>(plan.micro_batches())
                    : 0,
      .tail = plan.tp == 1 ? 0 : tensor_time(of_block, plan).forward / std::max(1.0, of_block.traffic.calls.forward),
      .slow = interference(),
      .share = moves.share(of_block.parameters)};
  ShardedPart rest = block, experts;
  const bool apart = mixed && plan.ep > 1 && (expert_group.ranks > 1 || offloads_parameters(plan));
  if (apart) {
    experts = experts_of(costs.mixture, plan, block);
    rest.forward -= experts.forward, rest.backward -= experts.backward;
    rest.gather -= experts.gather, rest.reduce -= experts.reduce, rest.fetch -= experts.fetch;
    rest.regather -= experts.regather, rest.refetch -= experts.refetch;
    const double shared = costs.mixture.parameters - costs.mixture.expert_parameters;
    rest.unpack = moves.unpack(shared);
  }
  AddedSeconds more =
      shown_shards(part_of(costs.embedding, 1, true), rest, stage.blocks(), part_of(costs.head, 1, true), lanes);
  if (apart) {
    const AddedSeconds one = shown_experts(rest, experts, plan.recompute == Recompute::kFull, lanes);
    more.forward = std::max(more.forward, stage.blocks() * one.forward);
    more.backward = std::max(more.backward, stage.blocks() * one.backward);
  }
  t.terms[static_cast<std::size_t>(TimeTerm::kData)] += more.forward + more.backward;
  t.forward += more.forward, t.backward += more.backward;
}

/// A step's forwards and backwards under any schedule: times of a block and of the ends, put together stage by stage.
double Estimator::State::schedule_length(const Plan& plan, const ModelCosts& costs, const Messages& messages) {
  EstimateNotes* const noted = std::exchange(notes, nullptr);  // others note these
  const auto time_of = [&](const PartCosts& part) {
    StageTime t;
    add_part(t, part, plan, 1);
    return t;
  };
  const StageTime dense = time_of(costs.dense), mixture = time_of(costs.mixture), embedding = time_of(costs.embedding),
                  head = time_of(costs.head);
  const double once = constants.micro_batch_ms * 1e-3 / chunks_of(plan.schedule, plan.vpp);
  const bool reduces = data_group(plan).ranks > 1 && plan.zero < 2;
  walked.clear();
  const Stage* before = nullptr;
  for (const Stage& stage : stage_maker.chunks(plan)) {
    const bool same = before != nullptr && is_alike(*before, stage);  // most are
    before = &stage;
    if (same) {
      walked.push_back(walked.back());
      continue;
    }
    const auto sum = [&](auto member) {
      return stage.dense * dense.*member + stage.mixture * mixture.*member + (stage.first ? embedding.*member : 0) +
             (stage.last ? head.*member : 0);
    };
    walked.push_back({.forward = sum(&StageTime::forward) + once / 2,
                      .backward = sum(&StageTime::backward) + once / 2,
                      .early = again_time(stage.dense > 0 ? costs.dense : costs.mixture, plan),
                      .weight = sum(&StageTime::weight_gradient)});
    if (!reduces) continue;
    StageTime t;
    t.forward = walked.back().forward, t.backward = walked.back().backward;
    const double shown = engine_reductions(plan, stage, t);
    (framework.overlaps_gradients ? walked.back().after : walked.back().tail) = shown;
  }
  notes = noted;
  return schedule_walk.length(shape_of(plan), walked, messages);
}

/// The walk has all stages' reductions; add_engine_data() counts those of the first.
double Estimator::State::walked_reductions(const Plan& plan, const Stage& first, const StageTime& t) {
  return data_group(plan).ranks > 1 && plan.zero < 2 ? engine_reductions(plan, first, t) : 0;
}

/// ZeRO-3 of our own engine: what is gathered before anything runs, and what comes after the last backward.
void Estimator::State::add_engine_ends(Estimate& e, const Plan& plan, const ModelCosts& costs, const StageParameters& p,
                                       double backward) const {
  const Placement group = data_group(plan), shards = shard_group(plan);
  const double gathered = costs.embedding.parameters * framework.gather_bytes,
               gather = moves_of(plan).gather(costs.embedding.parameters, shards).seconds,
               reduce = moves_of(plan).reduce(costs.embedding.parameters).seconds;
  e[TimeTerm::kData] += gather + (framework.overlaps_gathers ? reduce : 0);
  if (offloads_parameters(plan)) e[TimeTerm::kData] += copied(plan, gathered / shards.ranks, 1);
  note(TimeTerm::kData, "first all-gather", gathered_bytes(plan, costs.embedding.parameters), shards.ranks, gather, 1);
  const Placement copies{group.ranks / shards.ranks, group.stride * shards.ranks};
  // Part by part behind the last micro-batch's reductions; compute does not wait for them.
  const double parts = static_cast<double>(workload.model.layers) + 2,
               bytes = p.all() * framework.gradient_bytes / shards.ranks,
               all = parts * network.all_reduce(bytes / parts, copies);
  e[TimeTerm::kData] +=
      std::max(all / parts, all - backward * (1 - 1 / parts)) + interference() * std::min(all, backward);
  note(TimeTerm::kData, "all-reduce between copies", bytes, copies.ranks, all, 1);
}

/// Seconds in which a bucket is reduced, with the copies into and out of another type, or the addition of what ZeRO-2
/// keeps.
double Estimator::State::reduced(const Plan& plan, double parameters, Placement group) const {
  if (group.ranks <= 1 || parameters <= 0) return 0;
  const double bytes = parameters * framework.reduce_bytes, own = parameters / group.ranks,
               both = framework.reduce_bytes + framework.gradient_bytes;
  const double one = plan.zero > 0 ? network.reduce_scatter(bytes, group) : network.all_reduce(bytes, group);
  if (plan.zero == 2) return one + gpu.traffic(own * (both + framework.gradient_bytes));
  if (framework.reduce_bytes == framework.gradient_bytes) return one;
  return one + gpu.traffic((parameters + (plan.zero > 0 ? own : parameters)) * both);
}

/// What reductions add to a step of this stage (ZeRO-0 to 2).
double Estimator::State::engine_reductions(const Plan& plan, const Stage& stage, const StageTime& t) {
  const Buckets& buckets = bucket_maker.of(stage, plan.tp, plan.ep);
  const auto m = static_cast<double>(plan.micro_batches());
  const double mean = buckets.all() / buckets.count;
  note(TimeTerm::kData, plan.zero > 0 ? "reduce-scatter of gradients" : "all-reduce of gradients",
       mean * framework.reduce_bytes, data_group(plan).ranks, reduced(plan, mean, data_group(plan)),
       (plan.zero == 2 ? m : 1) * buckets.count);
  // Experts' gradients come evenly, between the others.
  // Compute waits for a bucket's copy to the host, and so for the experts' copies before it on that lane; buckets go
  // through all chunks of a rank, and not every one completes some.
  const double completes =
      walks_schedule(plan) ? std::min(1.0, buckets.all() / static_cast<double>(framework.bucket_elements)) : 1;
  const double experts = reduced(plan, buckets.dealt_out, expert_data_group(plan)) +
                         (waits_for_copies(plan) ? completes * experts_down(plan, buckets.dealt_out) : 0);
  const auto one = [&](const Bucket& bucket) {
    const double down = waits_for_copies(plan) ? gradients_down(plan, bucket.parameters) : 0;
    return reduced(plan, bucket.parameters, data_group(plan)) + bucket.work * experts + down;
  };
  return shown_reductions({.forward = t.forward,
                           .backward = t.backward,
                           .first = one(buckets.first),
                           .between = one(buckets.between),
                           .last = one(buckets.last),
                           .buckets = buckets,
                           .each = plan.zero == 2,
                           .overlap = framework.overlaps_gradients,
                           .slow = interference()},
                          m);
}

/// Our own engine: reductions by the buckets that they come in.
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
  for (std::size_t i = 1; i < stages.size() && !framework.overlaps_gradients && !walks_schedule(plan); ++i) {
    const Stage& stage = stages[i].stage;
    const double last = bucket_maker.of(stage, plan.tp, plan.ep).last.parameters;
    e[TimeTerm::kData] += stages[i].count * (engine_reductions(plan, stage, t) - reduced(plan, last, group));
  }
  e[TimeTerm::kData] += engine_reductions(plan, first, t);
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
