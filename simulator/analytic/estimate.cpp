#include "simulator/analytic/estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "simulator/analytic/engine_time.h"
#include "simulator/analytic/estimate_state.h"

namespace shardscope {
namespace {

std::uint64_t key_of(const BlockShape& s) {
  std::uint64_t key = static_cast<std::uint64_t>(s.micro_batch);
  for (const int field : {s.tp, s.cp, s.ulysses, s.ep}) key = key * 4099 + static_cast<std::uint64_t>(field);
  return (key * 2 + (s.sp ? 1 : 0)) * 4 + static_cast<std::uint64_t>(s.recompute);
}

BlockShape shape_of_block(const Plan& plan) {
  return {plan.micro_batch, plan.tp, plan.cp, plan.ulysses, plan.ep, plan.sp, plan.recompute};
}

}  // namespace

const ModelCosts& Estimator::State::costs_of(const Plan& plan) {
  const BlockShape shape = shape_of_block(plan);
  const std::uint64_t key = key_of(shape);
  const auto found = known.find(key);
  if (found != known.end()) return found->second;
  return known.emplace(key, compute_costs(workload, framework, constants, gpu, shape)).first->second;
}

/// Of schedules that put weights off, with their halves.
const ModelTapes& Estimator::State::tapes_of(const Plan& plan, const ModelCosts& costs) {
  const BlockShape shape = shape_of_block(plan);
  ModelTapes& tapes = known_tapes[key_of(shape)];
  const bool halves = is_v_shaped(plan.schedule) || plan.schedule == PipelineSchedule::kZbH1;
  if (tapes.head.forward.count > 0 && (tapes.has_halves || !halves)) return tapes;
  if (shape.micro_batch <= kReadMicroBatch) {
    tapes = read_tapes(workload, shape, halves).value_or(guess_tapes(costs));
  } else {
    Plan few = plan;
    few.micro_batch = kReadMicroBatch;
    tapes = scaled(tapes_of(few, costs_of(few)),
                   static_cast<double>(shape.micro_batch) / static_cast<double>(kReadMicroBatch));
  }
  return tapes;
}

// ---------------------------------------------------------------- one micro-batch in one stage

void Estimator::State::add_part(StageTime& t, const PartCosts& part, const Plan& plan, double count) const {
  if (count <= 0) return;
  const auto add = [&](TimeTerm term, double s) { t.terms[static_cast<std::size_t>(term)] += count * s; };
  const BothWays tensor = tensor_time(part, plan), context = context_time(part, plan),
                 experts = expert_time(part, plan);
  const double launch = constants.host_us * 1e-6, start = gpu.kernel_s() * kElementwiseStart;
  const auto device = [&](const PassCosts& p) { return p.kernel_seconds() + p.kernels * start; };
  const BothWays own{device(part.forward), device(part.backward) + device(part.again)};
  const double forward = device(part.forward) + tensor.forward + context.forward + experts.forward;
  const double again = device(part.again);
  const double backward = device(part.backward) + tensor.backward + context.backward + experts.backward + again;
  const double calls = leaves_node(plan) ? part.traffic.tensor_calls * plan.tp * constants.pipeline_rank_us * 1e-6 : 0;
  if (notes != nullptr) {
    const double kernels = part.forward.kernels + part.backward.kernels + part.again.kernels;
    notes->kernels += count * kernels, notes->launch_s += count * (kernels * launch + 2 * calls);
    note_part(part, plan, count);
  }
  // Pipelines that are bound by the host take as long as it does (usp-082, -083, -105, -112), not a fifth longer.
  const auto beyond = [calls](double host, double kernels) {
    return calls > 0 ? std::max(0.0, host - kernels) : exposed(host, kernels);
  };
  const double host_forward = beyond(part.forward.kernels * launch + calls, forward),
               host_backward = beyond((part.backward.kernels + part.again.kernels) * launch + calls, backward);
  add(TimeTerm::kMatmul, part.forward.matmul + part.backward.matmul);
  add(TimeTerm::kAttention, part.forward.attention + part.backward.attention);
  add(TimeTerm::kElements,
      part.forward.elements + part.backward.elements + (part.forward.kernels + part.backward.kernels) * start);
  add(TimeTerm::kRecompute, again);
  add(TimeTerm::kTensor, tensor.forward + tensor.backward);
  add(TimeTerm::kContext, context.forward + context.backward);
  add(TimeTerm::kExpert, experts.forward + experts.backward);
  add(TimeTerm::kHost, host_forward + host_backward);
  t.forward += count * (forward + host_forward);
  t.backward += count * (backward + host_backward);
  t.weight_gradient += count * part.weight_gradient;
  if (plan.zero == 3 && !framework.engine) add_gathers(t, part, plan, count, {forward, backward}, own);
}

/// Collectives of blocks, from the same formulas as their times.
void Estimator::State::note_part(const PartCosts& part, const Plan& plan, double count) const {
  const double full = plan.recompute == Recompute::kFull ? 1 : 0;
  if (plan.tp > 1 && part.traffic.tensor_calls > 0) {
    const TensorCalls& calls = part.traffic.calls;
    const double bytes = part.traffic.tensor, ranks = plan.tp;
    const double both = calls.forward + calls.backward, gathers = both / 2 + std::ceil(calls.again / 2) + calls.beside,
                 scatters = both / 2 + std::floor(calls.again / 2);  // the first of what is computed again is a gather
    const Placement group{ranks, 1};
    const double gather = network.all_gather(bytes, group), scatter = network.reduce_scatter(bytes, group);
    if (!plan.sp) {
      const double all = network.all_reduce(bytes, group);
      note(TimeTerm::kTensor, "all-reduce", bytes, ranks, all, count * (both + calls.again));
    }
    if (plan.sp) note(TimeTerm::kTensor, "all-gather", bytes, ranks, gather, count * gathers);
    if (plan.sp) note(TimeTerm::kTensor, "reduce-scatter", bytes, ranks, scatter, count * scatters);
    const double loss = 1.5 * part.traffic.loss;
    note(TimeTerm::kTensor, "all-reduce of the loss", loss, ranks, network.all_reduce(loss, group), 2 * count);
  }
  if (plan.cp > 1) {
    const double turn = network.send(part.traffic.ring, static_cast<double>(plan.tp) * plan.ulysses);
    note(TimeTerm::kContext, "turn of keys and values", part.traffic.ring, plan.cp, turn, count * 3 * (plan.cp - 1));
  }
  if (plan.ulysses > 1) {
    const Placement group{static_cast<double>(plan.ulysses), static_cast<double>(plan.tp)};
    const double one = network.all_to_all(part.traffic.exchange, group);
    note(TimeTerm::kContext, "all-to-all of heads", part.traffic.exchange, plan.ulysses, one, count * 2);
  }
  if (part.traffic.experts > 0) {
    const double all = expert_time(part, plan).forward / 2;
    note(TimeTerm::kExpert, "all-to-all of tokens", part.traffic.experts, plan.ep, all, count * (4 + 2 * full));
  }
}

/// Once more over the stage that a step waits for; times are then those of a whole step.
void Estimator::State::note_stage(const Plan& plan, const ModelCosts& costs, const Stage& slowest) {
  notes->moves.clear(), notes->kernels = notes->launch_s = 0;
  notes->costs = costs, notes->slowest = slowest;
  notes->stage_s = stage_time(plan, costs, slowest).total();
  const auto m = static_cast<double>(plan.micro_batches());
  notes->kernels *= m, notes->launch_s *= m;
  for (Move& move : notes->moves) move.times *= m;
}

/// Forward waits for every collective, and so does backward, but for what runs beside products.
BothWays Estimator::State::tensor_time(const PartCosts& part, const Plan& plan) const {
  const TensorCalls& calls = part.traffic.calls;
  if (plan.tp == 1 || part.traffic.tensor_calls <= 0) return {};
  const Placement group{static_cast<double>(plan.tp), 1};
  const double one =
      plan.sp ? network.all_gather(part.traffic.tensor, group) : network.all_reduce(part.traffic.tensor, group);
  const double shown = one * (framework.overlaps_tensor ? 1 - constants.tensor_overlap : 1);
  const double cover = 0.5 * part.backward.kernel_seconds() / std::max(1.0, calls.beside);
  const double loss = part.traffic.loss > 0 ? network.all_reduce(part.traffic.loss, group) +
                                                  network.all_reduce(2 * part.traffic.loss, group)
                                            : 0;
  return {calls.forward * shown + loss,
          (calls.backward + calls.again) * shown + calls.beside * added(one, cover, interference())};
}

/// A ring's turn hides behind the attention of the turn before; Ulysses' exchanges do not.
BothWays Estimator::State::context_time(const PartCosts& part, const Plan& plan) const {
  if (framework.engine) return engine_context_time(part, plan);
  BothWays t;
  if (plan.cp > 1) {
    const double turn = network.send(part.traffic.ring, static_cast<double>(plan.tp) * plan.ulysses);
    t.forward += (plan.cp - 1) * exposed(turn, part.forward.attention / plan.cp);
    t.backward += (plan.cp - 1) * exposed(2 * turn, part.backward.attention / plan.cp);
  }
  if (plan.ulysses > 1) {
    const Placement group{static_cast<double>(plan.ulysses), static_cast<double>(plan.tp)};
    const double exchange = network.all_to_all(part.traffic.exchange, group);
    t.forward += exchange, t.backward += exchange;
  }
  return t;
}

BothWays Estimator::State::expert_time(const PartCosts& part, const Plan& plan) const {
  if (part.traffic.experts <= 0) return {};
  if (framework.engine) return engine_expert_time(part, plan);
  const Placement group{static_cast<double>(plan.ep), 1};
  const double top = static_cast<double>(workload.model.experts_per_token), nodes = network.nodes_of(group);
  // Of `top` experts drawn evenly over the nodes, so many different nodes are met.
  const double met = nodes * (1 - std::pow(1 - 1 / nodes, top));
  const double both = 2 * network.all_to_all(part.traffic.experts, group, framework.sends_tokens_once ? met / top : 1);
  return {both, both * (plan.recompute == Recompute::kFull ? 2 : 1)};
}

/// ZeRO-3: a block is gathered while the one before computes, in forward and again in backward, where its gradient is
/// scattered too. Of what it hides behind, kernels are slowed and waiting for others is not.
void Estimator::State::add_gathers(StageTime& t, const PartCosts& part, const Plan& plan, double count, BothWays device,
                                   BothWays own) const {
  const ShardMoves moves = moves_of(plan);
  const double keep = moves.keep(part.parameters) / static_cast<double>(plan.micro_batches());  // once a step
  const double gather = moves.gather(part.parameters, shard_group(plan)).seconds + keep,
               regather = moves.regather(part.parameters).seconds,
               reduce = framework.reduces_by_micro_batch ? moves.reduce(part.parameters).seconds : 0;
  note_shards(plan, part.parameters, {.gather = gather, .reduce = reduce, .regather = regather}, count, false);
  const double overlap = framework.overlaps_gathers ? constants.overlap : 0, slow = interference();
  const double forward = device.forward, backward = device.backward;
  const double slow_forward = slow * own.forward / std::max(forward, 1e-12),
               slow_backward = slow * own.backward / std::max(backward, 1e-12);
  const double more_forward = exposed(gather, forward * overlap) + slow_forward * std::min(gather, forward);
  const double moved = regather + reduce;  // on the same links
  const double more_backward = exposed(moved, backward * overlap) + slow_backward * std::min(moved, backward);
  t.terms[static_cast<std::size_t>(TimeTerm::kData)] += count * (more_forward + more_backward);
  t.forward += count * more_forward;
  t.backward += count * more_backward;
}

/// Part of a message's time that shows in each micro-batch of the steady state. Interleaved schedules send one for each
/// chunk: ahead, a fifth of each shows, a guess; in our engine, where they wait for memory, all of each (read off the
/// event level). Beside compute: 0.23, read off there too (tests/two_levels_test.cpp).
double Estimator::State::shown_messages(const Plan& plan) const {
  if (walks(plan) || walks_schedule(plan)) return 0;  // the walk has them
  if (plan.vpp > 1) return (framework.engine ? 1 : 0.2) * plan.vpp;
  return framework.overlaps_messages ? 0.23 : 1;
}

StageTime Estimator::State::stage_time(const Plan& plan, const ModelCosts& costs, const Stage& stage) const {
  StageTime t;
  add_part(t, costs.dense, plan, stage.dense);
  add_part(t, costs.mixture, plan, stage.mixture);
  if (stage.first) add_part(t, costs.embedding, plan, 1);
  if (stage.last) add_part(t, stage.loss_is_next ? costs.logits : costs.head, plan, 1);
  if (stage.only_loss) add_part(t, costs.loss, plan, 1);
  if (plan.pp > 1) t.early = again_time(stage.dense > 0 ? costs.dense : costs.mixture, plan);
  if (plan.zero == 3 && framework.engine && (data_group(plan).ranks > 1 || offloads_parameters(plan)))
    add_engine_gathers(t, plan, costs, stage);
  const double once = constants.micro_batch_ms * 1e-3;
  t.terms[static_cast<std::size_t>(TimeTerm::kFixed)] += once;
  t.forward += once / 2, t.backward += once / 2;
  if (plan.pp > 1) {
    const double send = network.send(costs.message, static_cast<double>(plan.gpus) / plan.pp);
    const double shown = send * shown_messages(plan);
    note(TimeTerm::kPipeline, "message", costs.message, 1, send, 2 * plan.vpp);
    t.terms[static_cast<std::size_t>(TimeTerm::kPipeline)] += 2 * shown;
    t.forward += shown, t.backward += shown;
  }
  return t;
}

// ---------------------------------------------------------------- the step

/// Formulas: docs/simulator.md. `others`: one micro-batch in all stages but the slowest.
double Estimator::State::bubble(const Plan& plan, const StageTime& slowest, double others) const {
  if (plan.pp == 1) return 0;
  const double stages = plan.pp - 1, moved = slowest.weight_gradient;
  switch (plan.schedule) {
    case PipelineSchedule::kZbH1:
      return std::max(0.0, others - 2 * stages * moved);
    case PipelineSchedule::kZbv:
      return std::max(0.0, others - 3 * stages * moved);
    case PipelineSchedule::kDualPipeV:
      return std::max(0.0, others - 3 * stages * moved) / 2;
    case PipelineSchedule::kGpipe:
    case PipelineSchedule::k1F1B:
    case PipelineSchedule::kInterleaved:
      break;
  }
  return others / std::max(1, plan.vpp);
}

/// Gradients' reduction behind the last backward, and parameters' gathering behind the next forward (ZeRO-1 and 2).
void Estimator::State::add_data(Estimate& e, const Plan& plan, const ModelCosts& costs, const Stage& stage,
                                const StageTime& t) const {
  const Placement group = data_group(plan);
  if (group.ranks <= 1) return;
  const StageParameters p = parameters_of(costs, stage, workload.model);
  const double overlap = constants.overlap, slow = interference();
  double& data = e[TimeTerm::kData];
  if (plan.zero == 3) {
    const Placement shards = shard_group(plan), copies{group.ranks / shards.ranks, group.stride * shards.ranks};
    const double block = std::max(costs.dense.parameters, costs.mixture.parameters);
    const double gather = moves_of(plan).gather(block, shards).seconds, reduce = moves_of(plan).reduce(block).seconds;
    if (framework.overlaps_gathers) data += gather + reduce;  // the first, the last; else all of them show
    note(TimeTerm::kData, "first all-gather", gathered_bytes(plan, block), shards.ranks, gather, 1);
    note(TimeTerm::kData, plan.quantized_gradients ? "last all-to-all" : "last reduce-scatter",
         reduced_bytes(plan, block), shards.ranks, reduce, 1);
    const double bytes = p.all() * framework.reduce_bytes / shards.ranks, all = network.all_reduce(bytes, copies);
    data += exposed(all, t.backward * overlap);
    note(TimeTerm::kData, "all-reduce between copies", bytes, copies.ranks, all, 1);
    return;
  }
  const double bytes = p.all() * framework.reduce_bytes;
  const bool scatters = plan.zero > 0 && !framework.all_reduces;
  const auto wanted = static_cast<double>(framework.bucket_elements);
  const double tensors = framework.copied_tensors * stage.blocks();
  const double most = tensors > 0 ? std::max(1.0, tensors) : 1e30;  // a bucket holds whole tensors
  const double bucket = wanted > 0 ? std::max(std::min(p.all(), wanted), p.all() / most) : p.all(),
               buckets = p.all() / bucket;
  const double start = network.start_of_gather(group), copy = kCopyLaunch * constants.host_us * 1e-6 * group.ranks;
  const double one = scatters ? longer(network.reduce_scatter(bytes, group) + (buckets - 1) * start,
                                       tensors > 0 ? 2 * buckets * copy : 0)
                              : network.all_reduce(bytes, group);
  const double times =
      plan.zero == 2 && framework.reduces_by_micro_batch ? static_cast<double>(plan.micro_batches()) : 1;
  const double cover = framework.overlaps_gradients ? t.backward * overlap : 0;
  note(TimeTerm::kData, scatters ? "reduce-scatter of gradients" : "all-reduce of gradients", bytes, group.ranks, one,
       times);
  data += times * (std::max(exposed(one, cover), one * bucket / p.all()) + slow * std::min(one, cover));
  if (plan.zero == 0) return;
  const double moved = network.all_gather(p.all() * framework.gather_bytes, group);
  const double gather = tensors > 0 ? moved + (tensors + 2) * copy : moved + (buckets - 1) * start;
  note(TimeTerm::kData, "copies of what was gathered", p.all() * framework.gather_bytes, group.ranks, gather - moved,
       tensors > 0 ? 1 : 0);
  note(TimeTerm::kData, "all-gather of parameters", p.all() * framework.gather_bytes, group.ranks, moved, 1);
  data += framework.overlaps_gathers && framework.overlaps_update ? exposed(gather, t.forward * overlap) : gather;
}

/// The norm of gradients reads them once, the update moves state, gradient and parameters.
void Estimator::State::add_update(Estimate& e, const Plan& plan, const StageParameters& p) const {
  if (plan.offload != Offload::kNone) return;
  const double own = own_parameters(p, plan, framework.engine, 1);
  const double bytes = own * (2 * (framework.master_bytes > 0 ? framework.master_bytes : framework.parameter_bytes) +
                              2 * framework.moment_bytes + 2 * framework.gradient_bytes + 2);
  const double seconds = gpu.traffic(bytes);
  e[TimeTerm::kOptimizer] += seconds;
  note(TimeTerm::kOptimizer, "state, gradient and parameters", bytes, 1, seconds, 1);
}

/// Gradients down, parameters up, the update bound by the host's memory: 28 bytes per element (docs/offload.md).
void Estimator::State::add_offload(Estimate& e, const Plan& plan, const StageParameters& p) const {
  if (plan.offload == Offload::kNone) return;
  const double own = own_parameters(p, plan, framework.engine, 1);
  // All devices at once.
  const double pcie = target.gpu.pcie.bandwidth.value * gpu.constants().pcie_efficiency /
                      std::max(1, target.system.gpus_per_pcie_switch);
  const double gpus = target.system.gpus_per_node;
  const double host = target.system.host_memory_bandwidth.value / gpus * 0.6;  // of the data sheet. Guess
  const auto m = static_cast<double>(plan.micro_batches());
  double& t = e[TimeTerm::kOffload];
  const double moved = own * (4 + (m > 1 && plan.zero < 3 ? 2 * m : 0)) + own * 2;
  const double update = own * std::max(28 / host, constants.host_update_ns * 1e-9);
  t += moved / pcie + update;
  note(TimeTerm::kOffload, "gradients and parameters over PCIe", moved, 1, moved / pcie, 1);
  note(TimeTerm::kOffload, "update in the host's memory", own * 28, 1, update, 1);
  const bool drive = plan.offload == Offload::kOptimizerNvme || plan.offload == Offload::kParametersNvme;
  if (drive && target.system.nvme_read.value > 0) {
    const double read = own * 16 * gpus / target.system.nvme_read.value,
                 written = own * 12 * gpus / target.system.nvme_write.value;
    t += read + written;
    note(TimeTerm::kOffload, "state read from the drive", own * 16, 1, read, 1);
    note(TimeTerm::kOffload, "state written to it", own * 12, 1, written, 1);
  }
  if (plan.offload == Offload::kParameters || plan.offload == Offload::kParametersNvme) {
    const double passes = m * (plan.recompute == Recompute::kFull ? 3 : 2);
    t += exposed(passes * own * 2 / pcie, e.seconds[static_cast<std::size_t>(TimeTerm::kMatmul)]);
    note(TimeTerm::kOffload, "parameters fetched over PCIe", own * 2, 1, own * 2 / pcie, passes);
  }
}

void Estimator::State::fill_memory_of(Estimate& e, const Plan& plan, const Stage& stage, const ModelCosts& costs) {
  if (!framework.engine) return fill_memory(e, plan, stage, costs, workload, target, framework, constants);
  HeldChunks chunks{shape_of(plan), static_cast<int>(stage.place), nullptr, &stage};
  if (!stage_maker.has_stages(plan)) chunks.shape.chunks = 1;
  if (chunks.shape.chunks > 1) chunks.stages = &stage_maker.chunks(plan);
  chunks.moments = &held_table.of(chunks.shape, chunks.rank);
  const EngineParts parts{tapes_of(plan, costs), bucket_maker.of(stage, plan.tp, plan.ep), chunks, chunk_bytes};
  fill_memory(e, plan, stage, costs, workload, target, framework, constants, &parts);
}

Estimate Estimator::estimate(const Plan& plan, EstimateNotes* notes) {
  State& s = *state_;
  s.notes = nullptr;
  const ModelCosts& costs = s.costs_of(plan);
  const bool one = plan.pp == 1;
  const std::vector<StageKind>& stages = s.stage_maker.of(plan);
  const Stage& first = stages.front().stage;
  const StageTime a = s.stage_time(plan, costs, first);
  StageTime slowest = a;
  const Stage* slow = &first;
  const bool walks = s.walks(plan);
  double all = 0;
  s.walk.clear();
  for (const StageKind& kind : stages) {
    const StageTime t = &kind == stages.data() ? a : s.stage_time(plan, costs, kind.stage);
    if (walks) s.walk.add({t.forward, t.backward, t.early}, kind.count);
    all += kind.count * t.total();
    if (t.total() > slowest.total()) slowest = t, slow = &kind.stage;
  }
  const double others = all - slowest.total();

  if (notes != nullptr) {
    s.notes = notes;
    s.note_stage(plan, costs, *slow);
    notes->others_s = others;
  }

  Estimate e;
  const auto m = static_cast<double>(plan.micro_batches());
  for (int i = 0; i < kTimeTerms; ++i)
    e.seconds[static_cast<std::size_t>(i)] = m * slowest.terms[static_cast<std::size_t>(i)];
  const double send = one ? 0 : s.network.send(costs.message, static_cast<double>(plan.gpus) / plan.pp);
  if (walks || s.walks_schedule(plan)) {
    const Messages messages{.send = send, .gradients_wait = plan.tp > 1};
    const double length = walks ? s.walk.length(m, messages) : s.schedule_length(plan, costs, messages);
    const double waits =
        std::max(0.0, length - m * slowest.total() - (walks ? 0 : s.walked_reductions(plan, first, a)));
    const double received = (slow->first ? 0 : 1) + (slow->last || !messages.gradients_wait ? 0 : 1);
    e[TimeTerm::kPipeline] = std::min(waits, m * received * send);
    e[TimeTerm::kBubble] = waits - e[TimeTerm::kPipeline];
  } else {
    e[TimeTerm::kBubble] = s.bubble(plan, slowest, others);
    // Filling the pipeline waits for whole messages.
    if (!one) e[TimeTerm::kBubble] += 2 * (plan.pp - 1) * send * std::max(0.0, 1 - s.shown_messages(plan)) / plan.vpp;
  }
  const StageParameters p = parameters_of(costs, first, s.workload.model);
  if (s.framework.engine) {
    s.add_engine_data(e, plan, costs, stages, a);
    s.add_engine_update(e, plan, costs, stages, a);
  } else {
    s.add_update(e, plan, p);
    s.add_data(e, plan, costs, first, a);
    s.add_offload(e, plan, p);
  }
  e[TimeTerm::kFixed] += s.constants.fixed_ms * 1e-3 + (s.framework.engine ? s.scalars(plan) : 0);
  for (const double t : e.seconds) e.step_time_s += t;
  e.bubble_fraction = e[TimeTerm::kBubble] / e.step_time_s;

  if (notes != nullptr) notes->fullest = first;
  s.fill_memory_of(e, plan, first, costs);
  for (std::size_t i = 1; i < stages.size(); ++i) {
    Estimate other;
    s.fill_memory_of(other, plan, stages[i].stage, costs);
    if (other.allocated <= e.allocated) continue;
    if (notes != nullptr) notes->fullest = stages[i].stage;
    other.seconds = e.seconds, other.step_time_s = e.step_time_s, other.bubble_fraction = e.bubble_fraction;
    e = other;
  }
  if (notes != nullptr) notes->parameters = parameters_of(costs, notes->fullest, s.workload.model);
  s.notes = nullptr;
  return e;
}

Estimator::Estimator(const Workload& workload, const Target& target, const FrameworkSpec& framework,
                     const Constants& constants)
    : state_(std::make_unique<State>(workload, target, framework, constants)) {}
Estimator::~Estimator() = default;
Estimator::Estimator(Estimator&&) noexcept = default;
Estimator& Estimator::operator=(Estimator&&) noexcept = default;
const Workload& Estimator::workload() const { return state_->workload; }
const Target& Estimator::target() const { return state_->target; }
const FrameworkSpec& Estimator::framework() const { return state_->framework; }

std::string find_plan_problem(const Workload& w, const Target&, const Plan& p) {
  const ModelSpec& m = w.model;
  const std::int64_t product = std::int64_t{p.dp} * p.tp * p.pp * p.cp * p.ulysses;
  for (const int n : {p.gpus, p.dp, p.tp, p.pp, p.vpp, p.cp, p.ulysses, p.ep}) {
    if (n < 1) return fmt::format("a size is {}; all must be at least 1", n);
  }
  if (product != p.gpus) {
    return fmt::format("dp {} x tp {} x pp {} x cp {} x ulysses {} is {}, not {} GPUs", p.dp, p.tp, p.pp, p.cp,
                       p.ulysses, product, p.gpus);
  }
  if (m.heads % p.tp != 0) return fmt::format("tp {} does not divide {} heads", p.tp, m.heads);
  if (m.heads / p.tp % p.ulysses != 0) {
    return fmt::format("ulysses {} does not divide the {} heads of a rank", p.ulysses, m.heads / p.tp);
  }
  if (w.seq % (std::int64_t{p.cp} * p.ulysses) != 0) {
    return fmt::format("cp {} x ulysses {} do not divide sequences of {}", p.cp, p.ulysses, w.seq);
  }
  if (std::int64_t{p.pp} * p.vpp > m.layers + 2)  // embedding and head may have stages of their own
    return fmt::format("pp {} x vpp {} are more stages than {} layers", p.pp, p.vpp, m.layers);
  if (p.vpp > 1 && p.pp == 1) return "vpp needs a pipeline";
  if (p.ep > 1 && (m.experts == 0 || m.experts % p.ep != 0)) {
    return fmt::format("ep {} does not divide {} experts", p.ep, m.experts);
  }
  if (p.ep > 1 && std::int64_t{p.dp} * p.tp * p.cp % p.ep != 0) {
    return fmt::format("ep {} does not divide dp {} x tp {} x cp {}", p.ep, p.dp, p.tp, p.cp);
  }
  if (p.micro_batch < 1 || p.global_batch % (std::int64_t{p.dp} * p.micro_batch) != 0 || p.global_batch < 1) {
    return fmt::format("dp {} x micro-batch {} do not divide the global batch {}", p.dp, p.micro_batch, p.global_batch);
  }
  if (p.sp && p.tp == 1) return "sp needs tp";
  if (p.zero < 0 || p.zero > 3) return fmt::format("zero {}: it must be 0 to 3", p.zero);
  if (p.zero >= 2 && p.pp > 1) return "ZeRO-2 and 3 with a pipeline: gradients would be reduced at every micro-batch";
  if (p.offload != Offload::kNone && p.zero == 0) return "offload needs ZeRO";
  if ((p.offload == Offload::kParameters || p.offload == Offload::kParametersNvme) && p.zero != 3) {
    return "parameters are offloaded by ZeRO-3 only";
  }
  if (p.shard > 0 && (p.dp % p.shard != 0)) return fmt::format("shard {} does not divide dp {}", p.shard, p.dp);
  return find_zero_plus_plus_problem(p);
}

}  // namespace shardscope
