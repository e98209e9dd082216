#include "simulator/analytic/memory_model.h"

#include <algorithm>
#include <cmath>

#include "simulator/analytic/engine_memory.h"
#include "simulator/analytic/zero_plus_plus.h"

namespace shardscope {
namespace {

constexpr double kMiB = 1024.0 * 1024;
// CUDA context with the libraries' kernels. Guess; 0.5 to 3.5 GB were seen (docs/validation.md).
constexpr double kContext = 850 * kMiB;
// NCCL's buffers of one process: measured 342 MiB on 2 and 392 MiB on 4 to 8 GPUs (AIConfigurator's data).
constexpr double kCollectivesPair = 342 * kMiB, kCollectives = 392 * kMiB;

bool offloads_optimizer(Offload o) { return o != Offload::kNone; }
bool offloads_parameters(Offload o) { return o == Offload::kParameters || o == Offload::kParametersNvme; }

double spread(const StageParameters& p, const Plan& plan, int at_stage, double bytes, bool engine = false) {
  return bytes * own_parameters(p, plan, engine, at_stage);
}

double block_parameters(const ModelCosts& costs) { return std::max(costs.dense.parameters, costs.mixture.parameters); }

/// Elements of whole parameters alive under ZeRO-3 at the end of forward, with the flat copies of those gathered ahead:
/// what is used again within `reuse_elements`, there and back, and what is prefetched. A model of half that many
/// elements is never released. Source: DeepSpeed, partitioned_param_coordinator.py (__params_to_release, fetch).
double live_elements(const FrameworkSpec& f, double all) {
  const double kept = std::min(all, 0.5 * static_cast<double>(f.reuse_elements));
  const double room = std::max(0.0, std::min(all, static_cast<double>(f.live_elements)) - kept);
  return kept + 2 * std::min(static_cast<double>(f.prefetch_elements), room);
}

/// Elements that one piece of the update works on.
double step_elements(const Plan& plan, const StageParameters& p, const FrameworkSpec& f) {
  const double own = spread(p, plan, 1, 1, f.engine);
  return plan.zero == 3 && f.sub_group_elements > 0 ? std::min(own, static_cast<double>(f.sub_group_elements)) : own;
}

void fill_sharded_state(Estimate& e, const Plan& plan, const StageParameters& p, const ModelCosts& costs,
                        const FrameworkSpec& f) {
  const double bucket = std::min(p.all(), static_cast<double>(f.bucket_elements));
  const double ends = costs.embedding.parameters + costs.head.parameters;
  e[MemoryTerm::kGathered] =
      f.gather_bytes * (f.live_elements > 0
                            ? live_elements(f, p.all())
                            : std::max(static_cast<double>(f.gathered_blocks) * block_parameters(costs), ends));
  e[MemoryTerm::kBuckets] =
      f.keeps_bucket ? f.reduce_bytes * static_cast<double>(f.bucket_elements)
                     : std::max(bucket * f.reduce_bytes, block_parameters(costs) * (f.reduce_bytes + f.gather_bytes));
  e[MemoryTerm::kGathered] += second_copy_bytes(plan, f, p.all());
  e[MemoryTerm::kBuckets] += std::max(gather_buffer_bytes(plan, block_parameters(costs)),
                                      reduce_buffer_bytes(plan, f, std::max(bucket, block_parameters(costs)), false));
}

void fill_state(Estimate& e, const Plan& plan, const StageParameters& p, const ModelCosts& costs,
                const FrameworkSpec& f) {
  const bool whole_gradients = plan.zero < 2 && !(plan.zero == 1 && f.shards_gradients_at_1);
  e[MemoryTerm::kParameters] = spread(p, plan, 3, f.parameter_bytes);
  if (f.master_bytes == 0 && plan.zero > 0 && plan.zero < 3) {  // fp32 shards, and the copy that kernels read
    e[MemoryTerm::kParameters] = spread(p, plan, 1, f.parameter_bytes) + p.all() * f.gather_bytes;
  }
  e[MemoryTerm::kGradients] = (whole_gradients ? p.all() * f.gradient_bytes : spread(p, plan, 1, f.gradient_bytes)) +
                              (plan.zero < 2 && !f.accumulates_in_place ? p.all() * f.backward_bytes : 0);
  e[MemoryTerm::kOptimizer] = spread(p, plan, 1, f.master_bytes + f.moment_bytes);
  const double bucket = std::min(p.all(), static_cast<double>(f.bucket_elements));
  if (plan.zero >= 1 && (!whole_gradients || f.flush_copies > 0))
    e[MemoryTerm::kBuckets] = bucket * f.reduce_bytes * (f.overlaps_gradients ? 2 : 1);
  if (plan.zero == 3) fill_sharded_state(e, plan, p, costs, f);
}

/// A pinned buffer as PyTorch's caching host allocator makes it: of a power of two.
double pinned(double bytes) { return bytes <= 0 ? 0 : std::exp2(std::ceil(std::log2(std::max(1.0, bytes)))); }

/// DeepSpeed's host buffers, each pinned apart. ZeRO-1 and 2: master, fp32 gradient, what goes back, and 16-bit
/// gradients where there are several micro-batches; moments are not pinned. ZeRO-3: gradients by sub-group, their
/// 16-bit partition and parameters; master and moments are not pinned.
void offload_apart(Estimate& e, const Plan& plan, const StageParameters& p, const FrameworkSpec& f, bool drive) {
  const double own = spread(p, plan, 1, 1, f.engine), moments = own * f.moment_bytes, master = own * f.master_bytes;
  (drive ? e.nvme_bytes : e.host_bytes) += moments + (plan.zero == 3 ? master : 0);
  if (plan.zero < 3) {
    e.pinned_bytes = pinned(master) + pinned(own * f.host_gradient_bytes) + pinned(own * f.parameter_bytes) +
                     (plan.micro_batches() > 1 ? pinned(own * f.gradient_bytes) : 0);
  } else {
    const double group = step_elements(plan, p, f);
    e.pinned_bytes = std::ceil(own / group) * pinned(group * f.host_gradient_bytes) + pinned(own * f.gradient_bytes);
  }
}

/// All at once, for frameworks that say nothing of their buffers.
void offload_together(Estimate& e, const Plan& plan, const StageParameters& p, bool drive) {
  (drive ? e.nvme_bytes : e.host_bytes) += spread(p, plan, 1, 12);
  e.pinned_bytes += spread(p, plan, 1, 4) + spread(p, plan, 1, 2);
}

/// Moves what is offloaded to the host, with the buffers that DeepSpeed pins (docs/ds_config.md).
void offload_state(Estimate& e, const Plan& plan, const StageParameters& p, const FrameworkSpec& f) {
  if (!offloads_optimizer(plan.offload)) return;
  e[MemoryTerm::kOptimizer] = 0;
  if (plan.zero >= 2 && !f.engine) e[MemoryTerm::kGradients] = 0;
  const bool drive = plan.offload == Offload::kOptimizerNvme || plan.offload == Offload::kParametersNvme;
  const bool apart = f.host_gradient_bytes > 0;
  apart ? offload_apart(e, plan, p, f, drive) : offload_together(e, plan, p, drive);
  if (offloads_parameters(plan.offload)) {
    const double bytes = e[MemoryTerm::kParameters];
    (plan.offload == Offload::kParametersNvme ? e.nvme_bytes : e.pinned_bytes) += apart ? pinned(bytes) : bytes;
    e[MemoryTerm::kParameters] = 0;
  }
  if (!apart) e.pinned_bytes = pinned(e.pinned_bytes);
  e.host_bytes += e.pinned_bytes;
}

/// Tensors that ZeRO-3 does not shard: the norms, where they are small enough.
double persistent_bytes(const Plan& plan, const Stage& stage, const ModelSpec& model, const FrameworkSpec& f) {
  if (plan.zero != 3 || model.hidden > f.persistent_elements) return 0;
  return f.gather_bytes * static_cast<double>(model.hidden) * (2 * stage.blocks() + 1);
}

/// Peak of initialisation: state with moments, and DeepSpeed's fp32 zeros that the first update runs on (ZeRO-3: of the
/// largest sub-group). ZeRO-1 and 2 flatten beside the parameters; ZeRO-3 may begin with the whole model.
double start_peak(const Estimate& e, const Plan& plan, const StageParameters& p, const FrameworkSpec& f) {
  if (f.host_gradient_bytes == 0) return p.all() * (f.parameter_bytes + (plan.zero == 0 ? f.master_bytes : 4.0));
  const double zeros = plan.offload == Offload::kNone ? step_elements(plan, p, f) * f.host_gradient_bytes : 0;
  const double state = e[MemoryTerm::kParameters] + e[MemoryTerm::kOptimizer] + zeros;
  const double model = p.all() * f.parameter_bytes;
  if (plan.zero < 3) return std::max(state, plan.zero == 0 ? model : 2 * model);
  const double sharded = state + e[MemoryTerm::kGradients];
  return f.builds_sharded ? sharded : std::max(sharded, model);
}

/// What backward of the blocks has beside it and the loss has not: copies of the bucket that is being reduced, and
/// gradients that only this micro-batch has.
struct Reducing {
  double copies = 0, fresh = 0;
};
Reducing reducing(const Plan& plan, const StageParameters& p, const FrameworkSpec& f) {
  if (plan.zero == 0) return {};
  const double bucket = std::min(p.all(), static_cast<double>(f.bucket_elements));
  const bool fresh = plan.zero == 2 && plan.micro_batches() > 1 && plan.offload == Offload::kNone;
  return {f.flush_copies * bucket * f.reduce_bytes, fresh ? spread(p, plan, 1, f.fresh_gradient_bytes) : 0};
}

/// The peak is at the loss, in backward of a block, or in the update: whichever is most beside what is always there.
void fill_activations(Estimate& e, const Plan& plan, const Stage& stage, const ModelCosts& costs,
                      const FrameworkSpec& f, const StageParameters& p) {
  const double kept = stage.dense * costs.dense.kept.block + stage.mixture * costs.mixture.kept.block;
  double activations = in_flight(plan, stage) * kept;
  if (stage.first) activations += in_flight(plan, stage) * costs.embedding.kept.block;
  const double recomputed = std::max(costs.dense.kept.recomputed, costs.mixture.kept.recomputed);
  const double backward = recomputed + 2 * std::max(costs.dense.largest_tensor, costs.mixture.largest_tensor);
  const double head = std::max(costs.head.largest_tensor, costs.head.kept.backward);
  const double logits = stage.last ? head + costs.head.kept.block : 0;
  const Reducing more = reducing(plan, p, f);
  const double step = step_elements(plan, p, f) * f.step_bytes;
  if (step > activations + std::max(logits, backward + more.copies + more.fresh) && plan.offload == Offload::kNone) {
    e[MemoryTerm::kWorkspace] = step;
  } else {
    e[MemoryTerm::kActivations] = activations;
    if (logits > backward + more.copies + more.fresh) {
      e[MemoryTerm::kLogits] = logits;
    } else {
      e[MemoryTerm::kRecomputed] = recomputed;
      e[MemoryTerm::kWorkspace] = backward - recomputed;
      e[MemoryTerm::kBuckets] += more.copies;
      e[MemoryTerm::kGradients] += more.fresh;
    }
  }
  const double block = std::max(costs.dense.parameters, costs.mixture.parameters - costs.mixture.expert_parameters);
  e[MemoryTerm::kWorkspace] += kBlasWorkspace + block * f.scratch_gradient_bytes;
}

}  // namespace

double in_flight(const Plan& plan, const Stage& stage) {
  const auto m = static_cast<double>(plan.micro_batches());
  if (plan.pp == 1) return 1;
  const double p = plan.pp;
  switch (plan.schedule) {
    case PipelineSchedule::kGpipe:
      return m;
    case PipelineSchedule::kZbH1:
    case PipelineSchedule::kZbv:
    case PipelineSchedule::kDualPipeV:
      return std::min(m, p + 1);
    case PipelineSchedule::k1F1B:
    case PipelineSchedule::kInterleaved:
      break;
  }
  if (plan.vpp >
      1) {  // Megatron's warm-up, in chunks: 2 for each stage behind, the chunks before the last, one in work
    const double chunks = 2 * (p - 1 - stage.place) + (plan.vpp - 1) * p + 1;
    return std::min(m, chunks / plan.vpp);
  }
  return std::min(m, p - stage.place);
}

double shards_of(double copies, int zero, int at_stage, int shard) {
  if (zero < at_stage) return 1;
  return shard > 0 ? std::min<double>(shard, copies) : copies;
}

double own_parameters(const StageParameters& p, const Plan& plan, bool engine, int at_stage) {
  const Copies c = copies_of(plan, engine);
  return p.shared / shards_of(c.shared, plan.zero, at_stage, plan.shard) +
         p.experts / shards_of(c.experts, plan.zero, at_stage, plan.shard);
}

StageParameters parameters_of(const ModelCosts& costs, const Stage& stage, const ModelSpec& model) {
  StageParameters p;
  p.experts = stage.mixture * costs.mixture.expert_parameters;
  p.shared = stage.dense * costs.dense.parameters +
             stage.mixture * (costs.mixture.parameters - costs.mixture.expert_parameters);
  if (stage.first) p.shared += costs.embedding.parameters;
  if (stage.last) p.shared += costs.head.parameters;
  if (stage.last && !stage.first && model.tied_embeddings) p.shared += costs.embedding.parameters;
  return p;
}

Copies copies_of(const Plan& plan, bool engine) {
  const double all = static_cast<double>(plan.dp) * plan.cp * plan.ulysses;
  return {all, std::max(1.0, all * (plan.ep > 1 && !engine ? plan.tp : 1) / plan.ep)};
}

void fill_memory(Estimate& e, const Plan& plan, const Stage& stage, const ModelCosts& costs, const Workload& workload,
                 const Target& target, const FrameworkSpec& f, const FrameworkConstants& constants,
                 const EngineParts* engine) {
  const StageParameters p = parameters_of(costs, stage, workload.model);
  engine != nullptr ? fill_engine_memory(e, {plan, stage, costs, f, p, copies_of(plan, true), *engine})
                    : fill_state(e, plan, p, costs, f);
  offload_state(e, plan, p, f);
  e[MemoryTerm::kParameters] += persistent_bytes(plan, stage, workload.model, f);
  if (!f.engine) fill_activations(e, plan, stage, costs, f, p);
  e.allocated = 0;
  for (const double bytes : e.bytes) e.allocated += bytes;
  e[MemoryTerm::kFragmentation] = e.allocated * constants.fragmentation;
  e[MemoryTerm::kContext] = kContext;
  e[MemoryTerm::kCollectives] = plan.gpus > 2 ? kCollectives : plan.gpus > 1 ? kCollectivesPair : 0;
  e.reserved = e.allocated + e[MemoryTerm::kFragmentation];
  e.used = e.reserved + e[MemoryTerm::kContext] + e[MemoryTerm::kCollectives];
  e.at_start = start_peak(e, plan, p, f);
  e.fits = e.used <= target.gpu.memory.value;
}

}  // namespace shardscope
