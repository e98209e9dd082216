#include "simulator/analytic/memory_model.h"

#include <algorithm>
#include <cmath>

namespace shardscope {
namespace {

constexpr double kMiB = 1024.0 * 1024;
// CUDA context with the libraries' kernels. Guess; 0.5 to 3.5 GB were seen (docs/validation.md).
constexpr double kContext = 850 * kMiB;
// NCCL's buffers of one process: measured 342 MiB on 2 and 392 MiB on 4 to 8 GPUs (AIConfigurator's data).
constexpr double kCollectivesPair = 342 * kMiB, kCollectives = 392 * kMiB;

bool offloads_optimizer(Offload o) { return o != Offload::kNone; }
bool offloads_parameters(Offload o) { return o == Offload::kParameters || o == Offload::kParametersNvme; }

/// Sum over shared parameters and experts of bytes each / ranks that share them.
double spread(const StageParameters& p, const Copies& c, const Plan& plan, int at_stage, double bytes) {
  return bytes * (p.shared / shards_of(c.shared, plan.zero, at_stage, plan.shard) +
                  p.experts / shards_of(c.experts, plan.zero, at_stage, plan.shard));
}

double block_parameters(const ModelCosts& costs) { return std::max(costs.dense.parameters, costs.mixture.parameters); }

void fill_state(Estimate& e, const Plan& plan, const StageParameters& p, const Copies& c, const ModelCosts& costs,
                const FrameworkSpec& f) {
  const bool whole_gradients = plan.zero < 2 && !(plan.zero == 1 && f.shards_gradients_at_1);
  e[MemoryTerm::kParameters] = spread(p, c, plan, 3, f.parameter_bytes);
  if (f.master_bytes == 0 && plan.zero > 0 && plan.zero < 3) {  // fp32 shards, and the copy that kernels read
    e[MemoryTerm::kParameters] = spread(p, c, plan, 1, f.parameter_bytes) + p.all() * f.gather_bytes;
  }
  e[MemoryTerm::kGradients] = (whole_gradients ? p.all() * f.gradient_bytes : spread(p, c, plan, 1, f.gradient_bytes)) +
                              (plan.zero < 2 ? p.all() * f.backward_bytes : 0);
  e[MemoryTerm::kOptimizer] = spread(p, c, plan, 1, f.master_bytes + f.moment_bytes);
  const double bucket = std::min(p.all(), static_cast<double>(f.bucket_elements));
  if (plan.zero >= 1 && whole_gradients == false)
    e[MemoryTerm::kBuckets] = bucket * f.reduce_bytes * (f.overlaps_gradients ? 2 : 1);
  if (plan.zero == 3) {
    const double ends = costs.embedding.parameters + costs.head.parameters;
    e[MemoryTerm::kGathered] =
        f.gather_bytes * std::max(static_cast<double>(f.gathered_blocks) * block_parameters(costs), ends);
    e[MemoryTerm::kBuckets] =
        std::max(bucket * f.reduce_bytes, block_parameters(costs) * (f.reduce_bytes + f.gather_bytes));
  }
}

/// Moves what is offloaded to the host, with the buffers that DeepSpeed pins (docs/ds_config.md).
void offload_state(Estimate& e, const Plan& plan, const StageParameters& p, const Copies& c, const FrameworkSpec& f) {
  if (!offloads_optimizer(plan.offload)) return;
  const double state = spread(p, c, plan, 1, 12), gradient = spread(p, c, plan, 1, 4),
               staging = spread(p, c, plan, 1, 2);
  e[MemoryTerm::kOptimizer] = 0;
  if (plan.zero >= 2) e[MemoryTerm::kGradients] = 0;
  const bool drive = plan.offload == Offload::kOptimizerNvme || plan.offload == Offload::kParametersNvme;
  (drive ? e.nvme_bytes : e.host_bytes) += state;
  e.pinned_bytes += gradient + staging;
  if (offloads_parameters(plan.offload)) {
    (plan.offload == Offload::kParametersNvme ? e.nvme_bytes : e.pinned_bytes) += e[MemoryTerm::kParameters];
    e[MemoryTerm::kParameters] = 0;
  }
  e.pinned_bytes = std::exp2(std::ceil(std::log2(std::max(1.0, e.pinned_bytes))));  // allocated in powers of two
  e.host_bytes += e.pinned_bytes;
  (void)f;
}

void fill_activations(Estimate& e, const Plan& plan, const Stage& stage, const ModelCosts& costs,
                      const FrameworkSpec& f, const StageParameters& p, const Copies& c) {
  const double kept = stage.dense * costs.dense.kept.block + stage.mixture * costs.mixture.kept.block;
  e[MemoryTerm::kActivations] = in_flight(plan, stage) * kept;
  if (stage.first) e[MemoryTerm::kActivations] += in_flight(plan, stage) * costs.embedding.kept.block;
  const double recomputed = std::max(costs.dense.kept.recomputed, costs.mixture.kept.recomputed);
  const double backward = recomputed + 2 * std::max(costs.dense.largest_tensor, costs.mixture.largest_tensor);
  const double logits = stage.last ? costs.head.largest_tensor + costs.head.kept.block : 0;
  if (logits > backward) {
    e[MemoryTerm::kLogits] = logits;
  } else {
    e[MemoryTerm::kRecomputed] = recomputed;
    e[MemoryTerm::kWorkspace] = backward - recomputed;
  }
  const double step = spread(p, c, plan, 1, f.step_bytes);
  const double transient =
      e[MemoryTerm::kActivations] + e[MemoryTerm::kLogits] + e[MemoryTerm::kRecomputed] + e[MemoryTerm::kWorkspace];
  if (step > transient && plan.offload == Offload::kNone) {  // the peak is the update
    e[MemoryTerm::kActivations] = e[MemoryTerm::kLogits] = e[MemoryTerm::kRecomputed] = 0;
    e[MemoryTerm::kWorkspace] = step;
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
  if (plan.vpp > 1) return std::min(m, stage.first ? p * (1 + (p - 1) / (p * plan.vpp)) : 1 + (p - 1) / plan.vpp);
  return std::min(m, stage.first ? p : 1);
}

double shards_of(double copies, int zero, int at_stage, int shard) {
  if (zero < at_stage) return 1;
  return shard > 0 ? std::min<double>(shard, copies) : copies;
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

Copies copies_of(const Plan& plan) {
  const double all = static_cast<double>(plan.dp) * plan.cp * plan.ulysses;
  return {all, std::max(1.0, all * (plan.ep > 1 ? plan.tp : 1) / plan.ep)};
}

void fill_memory(Estimate& e, const Plan& plan, const Stage& stage, const ModelCosts& costs, const Workload& workload,
                 const Target& target, const FrameworkSpec& f, const FrameworkConstants& constants) {
  const StageParameters p = parameters_of(costs, stage, workload.model);
  const Copies c = copies_of(plan);
  fill_state(e, plan, p, c, costs, f);
  offload_state(e, plan, p, c, f);
  fill_activations(e, plan, stage, costs, f, p, c);
  e.allocated = 0;
  for (const double bytes : e.bytes) e.allocated += bytes;
  e[MemoryTerm::kFragmentation] = e.allocated * constants.fragmentation;
  e[MemoryTerm::kContext] = kContext;
  e[MemoryTerm::kCollectives] = plan.gpus > 2 ? kCollectives : plan.gpus > 1 ? kCollectivesPair : 0;
  e.reserved = e.allocated + e[MemoryTerm::kFragmentation];
  e.used = e.reserved + e[MemoryTerm::kContext] + e[MemoryTerm::kCollectives];
  e.at_start = p.all() * (f.parameter_bytes + (plan.zero == 0 ? f.master_bytes : 4.0));
  e.fits = e.used <= target.gpu.memory.value;
}

}  // namespace shardscope
