#include "simulator/planner/run.h"

#include <algorithm>
#include <cmath>

namespace shardscope {
namespace {

constexpr double kWaitingPart = 0.45;
constexpr double kSecondsPerDay = 86400;

/// Quantile of the standard normal distribution, by bisection of the error function: it is asked once a plan.
double normal_quantile(double p) {
  double low = -10, high = 10;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

double kernel_seconds(const Estimate& e) {
  return e[TimeTerm::kMatmul] + e[TimeTerm::kAttention] + e[TimeTerm::kElements] + e[TimeTerm::kRecompute] +
         e[TimeTerm::kOptimizer];
}

RunCost run_cost(const RunOptions& options, const Workload& workload, const Target& target, const Plan& plan,
                 const Estimate& estimate, const WarmupCost& warmup) {
  RunCost run;
  const double nodes = std::ceil(static_cast<double>(plan.gpus) / target.system.gpus_per_node);
  const double tokens_per_step = static_cast<double>(plan.global_batch) * static_cast<double>(workload.seq);
  const double whole_tokens = std::max(options.tokens - (warmup.steps > 0 ? options.warmup_tokens : 0), 0.0);
  run.steps = std::ceil(whole_tokens / tokens_per_step) + warmup.steps;
  run.straggler = 1 + options.jitter * mean_of_largest(plan.gpus);
  const double bytes = static_cast<double>(parameter_count(workload.model)) * options.checkpoint_bytes_per_parameter;
  run.checkpoint_s = bytes / (options.checkpoint_gb_per_s_per_node * 1e9 * nodes);
  const Goodput goodput = daly_goodput(run.checkpoint_s, options.restart_s, options.gpu_mtbf_hours * 3600 / plan.gpus);
  run.goodput = goodput.part;
  run.checkpoint_every_s = goodput.checkpoint_every_s;
  const double busy_s = options.tokens / tokens_per_step * estimate.step_time_s * warmup.stretch * run.straggler;
  const double wall_s = busy_s / run.goodput;
  run.days = wall_s / kSecondsPerDay;
  run.cost_usd = wall_s / 3600 * plan.gpus * options.usd_per_gpu_hour;
  run.mean_kw = plan.gpus * watts_per_gpu(options, target, estimate) / 1e3;
  run.energy_kwh = run.mean_kw * wall_s / 3600;
  run.co2_t = run.energy_kwh * options.co2_g_per_kwh / 1e6;
  return run;
}

}  // namespace

double mean_of_largest(double n) { return n <= 1 ? 0 : normal_quantile((n - 0.375) / (n + 0.25)); }

Goodput daly_goodput(double checkpoint_s, double restart_s, double mtbf_s) {
  const double c = std::max(checkpoint_s, 1e-3), m = mtbf_s;
  const double ratio = c / (2 * m);
  const double every =
      ratio < 1 ? std::sqrt(2 * c * m) * (1 + std::sqrt(ratio) / 3 + ratio / 9) - c : m;           // Daly, equation 37
  const double wall_per_work = m * std::exp(restart_s / m) * std::expm1((every + c) / m) / every;  // his equation 20
  return {1 / wall_per_work, every};
}

double gpu_watts(const GpuSpec& gpu, const Estimate& estimate) {
  const double busy = estimate.step_time_s > 0 ? std::min(kernel_seconds(estimate) / estimate.step_time_s, 1.0) : 0;
  return gpu.tdp_watts * (kWaitingPart + (1 - kWaitingPart) * busy);
}

double watts_per_gpu(const RunOptions& options, const Target& target, const Estimate& estimate) {
  const double node = target.system.node_watts / std::max(target.system.gpus_per_node, 1);
  return options.pue * (gpu_watts(target.gpu, estimate) + node);
}

RunCost run_cost(const RunOptions& options, const Workload& workload, const Target& target, const Plan& plan,
                 const Estimate& estimate) {
  return run_cost(options, workload, target, plan, estimate, {});
}

WarmupCost warmup_cost(const RunOptions& options, Estimator& estimator, const Plan& plan, const Estimate& whole) {
  if (options.warmup_batch <= 0 || options.warmup_tokens <= 0 || options.warmup_batch >= plan.global_batch) return {};
  constexpr int kSizes = 8;
  const double tokens = std::min(options.warmup_tokens, options.tokens);
  const std::int64_t quantum = plan.dp * plan.micro_batch;
  const double seq = static_cast<double>(estimator.workload().seq);
  double seconds = 0, steps = 0;
  for (int i = 0; i < kSizes; ++i) {
    const double at = (i + 0.5) / kSizes;
    const double wanted =
        static_cast<double>(options.warmup_batch) * (1 - at) + static_cast<double>(plan.global_batch) * at;
    Plan smaller = plan;
    smaller.global_batch = std::max<std::int64_t>(std::llround(wanted / static_cast<double>(quantum)), 1) * quantum;
    const double step_tokens = static_cast<double>(smaller.global_batch) * seq;
    steps += tokens / kSizes / step_tokens;
    // An interleaved pipeline may not take this number of micro-batches: as slow as the whole batch, then.
    const bool legal = find_plan_problem(estimator.workload(), estimator.target(), smaller).empty();
    seconds += tokens / kSizes / step_tokens * (legal ? estimator.estimate(smaller).step_time_s : whole.step_time_s);
  }
  const double per_token = whole.step_time_s / (static_cast<double>(plan.global_batch) * seq);
  return {std::ceil(steps), (seconds + (options.tokens - tokens) * per_token) / (options.tokens * per_token)};
}

RunCost run_cost(const RunOptions& options, Estimator& estimator, const Plan& plan, const Estimate& estimate) {
  return run_cost(options, estimator.workload(), estimator.target(), plan, estimate,
                  warmup_cost(options, estimator, plan, estimate));
}

}  // namespace shardscope
