#include "simulator/planner/bounds.h"

#include <algorithm>

namespace shardscope {
namespace {

/// 6 FLOPs per weight and token, as training_flops_per_token(), of the output head alone.
double head_flops_per_token(const ModelSpec& model) {
  return 6.0 * static_cast<double>(model.hidden) * static_cast<double>(model.vocab_size);
}

double best_peak(const GpuSpec& gpu, Arithmetic arithmetic) {
  double best = gpu.vector_fp32.value;
  for (Arithmetic a : {arithmetic, Arithmetic::kBf16, Arithmetic::kFp16, Arithmetic::kFp32}) {
    best = std::max(best, gpu.peak[static_cast<std::size_t>(a)].value);
  }
  return best;
}

}  // namespace

PlanBounds::PlanBounds(const Workload& workload, const Target& target, const FrameworkSpec& framework,
                       const Constants& constants)
    : framework_(framework) {
  const ModelSpec& model = workload.model;
  const DeviceConstants device = device_constants(constants, target.gpu);
  const bool narrow = workload.arithmetic == Arithmetic::kFp8 || workload.arithmetic == Arithmetic::kFp4;
  const double rate =
      best_peak(target.gpu, workload.arithmetic) *
      std::max({device.matmul_efficiency, device.attention_efficiency, narrow ? device.fp8_efficiency : 0});
  // A sequence of one token has next to no attention: where windows or dropped tokens may save work, only that counts.
  const std::int64_t counted = model.sliding_window > 0 ? 0 : workload.seq;
  double flops = training_flops_per_token(model, counted);
  if (workload.capacity_factor > 0 && workload.capacity_factor < 1) flops *= workload.capacity_factor;
  const double seq = static_cast<double>(workload.seq);
  seconds_per_sequence_ = seq * flops / rate;
  // Forward again: a third of both passes; a quarter is what is left if a framework skips a block's last product.
  recompute_seconds_ = seq * std::max(flops - head_flops_per_token(model), 0.0) / 4 / rate;
  const auto total = static_cast<double>(parameter_count(model));
  if (model.experts > model.experts_per_token) {
    const double idle = total - static_cast<double>(active_parameter_count(model));
    const auto experts = static_cast<double>(model.experts);
    expert_parameters_ = idle * experts / (experts - static_cast<double>(model.experts_per_token));
  }
  dense_parameters_ = total - expert_parameters_;
}

double PlanBounds::kernel_seconds(const Plan& plan) const {
  const double one = seconds_per_sequence_ + (plan.recompute == Recompute::kFull ? recompute_seconds_ : 0);
  return one * static_cast<double>(plan.global_batch) / plan.gpus;
}

double PlanBounds::step_time(const Plan& plan) const {
  const auto m = static_cast<double>(plan.micro_batches());
  const double length = 1 + (plan.pp - 1.0) / plan.vpp / m;
  const bool filled = plan.schedule == PipelineSchedule::k1F1B || plan.schedule == PipelineSchedule::kInterleaved ||
                      plan.schedule == PipelineSchedule::kGpipe;
  if (framework_.engine) {
    // Its stages are uneven: a fast one may hide in the slowest's micro-batches. And a block is computed again while
    // its gradient is on the way through the others.
    const double once = seconds_per_sequence_ * static_cast<double>(plan.global_batch) / plan.gpus;
    return std::max(kernel_seconds(plan), filled && plan.vpp == 1 ? once * plan.pp / m : 0);
  }
  return kernel_seconds(plan) * (filled ? length : 1);
}

double PlanBounds::bytes(const Plan& plan) const {
  if (plan.offload == Offload::kParameters || plan.offload == Offload::kParametersNvme) return 0;
  const double split = static_cast<double>(plan.tp) * plan.pp;
  const double dense = dense_parameters_ / split, experts = expert_parameters_ / (split * plan.ep);
  const double all_ranks = static_cast<double>(plan.dp) * plan.cp * plan.ulysses;
  const double group = plan.zero == 3 && plan.shard > 0 ? plan.shard : all_ranks;
  const double shared = dense / group + experts / (group * plan.tp);
  const double whole = dense + experts;
  // Without masters, stages 1 and 2 keep fp32 shards, and whole only what kernels read.
  const bool copies = framework_.master_bytes == 0 && plan.zero > 0;
  const double read =
      copies ? std::min(framework_.parameter_bytes, framework_.gather_bytes) : framework_.parameter_bytes;
  double bytes = plan.zero == 3 ? shared * framework_.parameter_bytes : whole * read;
  if (plan.offload == Offload::kNone) {
    bytes += (plan.zero == 0 ? whole : shared) *
             (framework_.gradient_bytes + framework_.master_bytes + framework_.moment_bytes);
  }
  return bytes;
}

double seconds_without_state(const Plan& plan, const Estimate& estimate) {
  double rest =
      estimate.step_time_s - estimate[TimeTerm::kData] - estimate[TimeTerm::kOptimizer] - estimate[TimeTerm::kOffload];
  if (plan.zero == 3) rest -= estimate[TimeTerm::kBubble];  // stages also wait for others' gathers
  return rest;
}

}  // namespace shardscope
