#include "simulator/planner/serve.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

namespace shardscope {
namespace {

constexpr std::int64_t kMostBatch = 1024;
constexpr double kMostReplicas = 1e6;    ///< of at most 72 GPUs: their number stays one
constexpr double kMemoryPart = 0.9;      ///< of the device, for weights and cache; guess, vLLM's default
constexpr double kKernelsPerLayer = 10;  ///< of decode, from a CUDA graph; guess
constexpr double kHalf = 2;              ///< bytes of a bf16 number

double weight_bytes_each(Arithmetic a) {
  return a == Arithmetic::kFp8 || a == Arithmetic::kInt8 ? 1 : a == Arithmetic::kFp4 ? 0.5625 : 2;
}

/// One kind of GPU serving one model with tp GPUs a replica.
class Replica {
 public:
  Replica(const ServeRequest& request, const Target& target, int tp)
      : request_(request), target_(target), device_(device_constants(default_constants(), target.gpu)), tp_(tp) {
    const ModelSpec& m = request.model;
    parameters_ = static_cast<double>(parameter_count(m));
    active_ = static_cast<double>(active_parameter_count(m));
    layers_ = static_cast<double>(m.layers);
    const bool narrow = weight_bytes_each(request.arithmetic) < kHalf;
    peak_ = target.gpu.peak[static_cast<std::size_t>(request.arithmetic)].value *
            (narrow ? device_.fp8_efficiency : device_.matmul_efficiency);
    bandwidth_ = target.gpu.memory_bandwidth.value * device_.memory_efficiency;
  }

  double weight_bytes() const { return parameters_ * weight_bytes_each(request_.arithmetic) / tp_; }
  double cache_bytes(double batch) const {
    return batch * static_cast<double>(request_.prompt + request_.output) * cache_bytes_per_token(request_.model, tp_);
  }
  bool fits(double batch) const {
    return weight_bytes() + cache_bytes(batch) <= kMemoryPart * target_.gpu.memory.value;
  }
  bool can_compute() const { return peak_ > 0; }

  double prefill_s() const {
    const auto tokens = static_cast<double>(request_.prompt);
    const double flops = 2 * active_ * tokens + attention_flops(tokens) * tokens / 2;
    return std::max(flops / tp_ / peak_, weight_bytes() / bandwidth_) + sums_s(tokens) + launches_s();
  }

  /// A step of `batch` sequences, half of the output behind them.
  double decode_s(double batch) const {
    const double context = static_cast<double>(request_.prompt) + static_cast<double>(request_.output) / 2;
    const double read = weights_read(batch) + batch * context * cache_bytes_per_token(request_.model, tp_);
    const double flops = batch * (2 * active_ + attention_flops(context)) / tp_;
    return std::max(read / bandwidth_, flops / peak_) + sums_s(batch) + launches_s();
  }

 private:
  double attention_flops(double context) const {  // of one token
    return 4 * layers_ * static_cast<double>(request_.model.heads * request_.model.head_dim) * context;
  }
  /// Of the experts only those that some token of the batch is sent to.
  double weights_read(double batch) const {
    const auto experts = static_cast<double>(request_.model.experts),
               used = static_cast<double>(request_.model.experts_per_token);
    if (experts <= used) return weight_bytes();
    const double expert_part = (parameters_ - active_) / (1 - used / experts) / parameters_;
    const double touched = 1 - std::pow(1 - used / experts, batch);
    return weight_bytes() * (1 - expert_part + expert_part * touched);
  }
  /// Two sums over the replica's GPUs in each layer.
  double sums_s(double tokens) const {
    if (tp_ == 1) return 0;
    const bool joined = target_.gpu.scale_up.bandwidth.value > 0;
    const double link = (joined ? target_.gpu.scale_up : target_.gpu.pcie).bandwidth.value * device_.link_efficiency;
    const double bytes = 2.0 * (tp_ - 1) / tp_ * tokens * static_cast<double>(request_.model.hidden) * kHalf;
    const double latency = (device_.link_latency_us + device_.link_hop_us * (tp_ - 2)) * 1e-6;
    return 2 * layers_ * (bytes / link + latency);
  }
  double launches_s() const { return layers_ * kKernelsPerLayer * device_.kernel_us * 1e-6; }

  const ServeRequest& request_;
  const Target& target_;
  DeviceConstants device_;
  int tp_;
  double parameters_ = 0, active_ = 0, layers_ = 0, peak_ = 0, bandwidth_ = 0;
};

ServePlan plan_of(const ServeRequest& request, const Replica& replica, double price, int tp, std::int64_t batch) {
  ServePlan p{.tp = tp, .batch = batch};
  const auto b = static_cast<double>(batch), output = static_cast<double>(request.output);
  p.prefill_s = replica.prefill_s();
  p.decode_step_s = replica.decode_s(b);
  p.latency_s = b * p.prefill_s + output * p.decode_step_s;
  const double one = b / p.latency_s;  // requests a second
  p.replicas = static_cast<int>(std::clamp(std::ceil(request.rps / (kServeLoad * one)), 1.0, kMostReplicas));
  p.rps = p.replicas * kServeLoad * one;
  p.weight_bytes = replica.weight_bytes();
  p.cache_bytes = replica.cache_bytes(b);
  p.usd_per_million = price * p.gpus() / 3600 / (request.rps * output) * 1e6;
  return p;
}

/// What was nearest, for the message if nothing serves.
struct Nearest {
  double memory_part = 1e300, latency_s = 1e300, rps = 0;
  int gpus = 0, most_gpus = 0;  ///< the fewest for the rate, and how many of these there are
  std::string memory_of, latency_of, gpus_of;

  void take_rate(const ServePlan& p, const ServeTarget& on) {
    rps = std::max(rps, p.rps / p.replicas * (on.most_gpus / p.tp));
    if (gpus > 0 && p.gpus() >= gpus) return;
    gpus = p.gpus(), most_gpus = on.most_gpus;
    gpus_of = fmt::format("{} tp {}, batch {}", on.target.gpu.name, p.tp, p.batch);
  }
};

std::optional<ServePlan> best_of(const ServeRequest& request, const ServeTarget& on, int tp, Nearest& nearest) {
  const Replica replica(request, on.target, tp);
  if (!replica.can_compute()) return std::nullopt;
  const double part = (replica.weight_bytes() + replica.cache_bytes(1)) / (kMemoryPart * on.target.gpu.memory.value);
  if (part < nearest.memory_part)
    nearest.memory_part = part, nearest.memory_of = fmt::format("{} tp {}", on.target.gpu.name, tp);
  std::optional<ServePlan> best;
  for (std::int64_t batch = 1; batch <= kMostBatch && replica.fits(static_cast<double>(batch));
       batch += std::max<std::int64_t>(1, batch / 4)) {
    const ServePlan p = plan_of(request, replica, on.usd_per_gpu_hour, tp, batch);
    if (p.latency_s < nearest.latency_s) {
      nearest.latency_s = p.latency_s,
      nearest.latency_of = fmt::format("{} tp {}, batch {}", on.target.gpu.name, tp, batch);
    }
    if (p.latency_s > request.latency_s) continue;
    if (on.most_gpus > 0 && p.gpus() > on.most_gpus) {
      nearest.take_rate(p, on);
      continue;
    }
    if (!best || std::pair(p.gpus(), p.latency_s) < std::pair(best->gpus(), best->latency_s)) best = p;
  }
  return best;
}

std::string problem_of(const ServeRequest& request, const Nearest& nearest) {
  if (nearest.gpus > 0) {
    return fmt::format(
        "--rps {:g} needs at least {} GPUs ({}) and there are {}: allow more, or at most {:.3g} requests a second",
        request.rps, nearest.gpus, nearest.gpus_of, nearest.most_gpus, std::floor(nearest.rps * 100) / 100);
  }
  if (nearest.latency_s < 1e299) {
    return fmt::format("--latency {:.0f} ms cannot be met: the fastest answer of {} tokens takes {:.0f} ms ({})",
                       request.latency_s * 1e3, request.output, std::ceil(nearest.latency_s * 1e3), nearest.latency_of);
  }
  if (nearest.memory_part < 1e299) {
    return fmt::format(
        "{} fits into none of the GPUs: weights and one request's cache need {:.1f} times the memory of {}",
        request.model.name, nearest.memory_part, nearest.memory_of);
  }
  return fmt::format("none of the GPUs computes in {}", to_string(request.arithmetic));
}

}  // namespace

double cache_bytes_per_token(const ModelSpec& m, int tp) {
  const auto layers = static_cast<double>(m.layers);
  if (m.kv_lora_rank > 0) return layers * static_cast<double>(m.kv_lora_rank + m.qk_rope_head_dim) * kHalf;
  const double heads = std::max(1.0, static_cast<double>(m.kv_heads) / tp);  // fewer heads than ranks: copies
  return 2 * layers * heads * static_cast<double>(m.head_dim) * kHalf;
}

ServeTable plan_serving(const ServeRequest& request, const std::vector<ServeTarget>& targets) {
  ServeTable table;
  Nearest nearest;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const SystemSpec& system = targets[i].target.system;
    const int most = std::max(system.scale_up_domain, system.gpus_per_node);
    for (int tp = 1; tp <= most; tp *= 2) {
      if (request.model.heads % tp != 0) continue;
      std::optional<ServePlan> best = best_of(request, targets[i], tp, nearest);
      if (!best) continue;
      best->target = i;
      table.plans.push_back(*best);
    }
  }
  std::stable_sort(table.plans.begin(), table.plans.end(), [](const ServePlan& a, const ServePlan& b) {
    return std::pair(a.usd_per_million, a.latency_s) < std::pair(b.usd_per_million, b.latency_s);
  });
  if (table.plans.empty()) table.problem = problem_of(request, nearest);
  return table;
}

}  // namespace shardscope
