#pragma once
// From the seconds of one step to a whole training of T tokens: days, money, energy, and what failures, stragglers and
// a growing batch take of it.
//
//   RunCost run = run_cost({.tokens = 300e9, .usd_per_gpu_hour = 2.5}, workload, target, plan, estimate);
//   run.days, run.cost_usd, run.goodput

#include <cstdint>

#include "simulator/analytic/estimate.h"

namespace shardscope {

struct RunOptions {
  double tokens = 0;
  double usd_per_gpu_hour = 0;
  double pue = 1.2;            ///< facility's power over the machines'. Guess: Google's fleet 1.09, survey's mean 1.56
  double co2_g_per_kwh = 480;  ///< world's mean of 2023, Ember's Global Electricity Review 2024
  /// Llama 3 405B (arXiv 2407.21783, section 3.3.4): 419 unexpected stops in 54 days of 16,384 H100.
  double gpu_mtbf_hours = 54.0 * 24 * 16384 / 419;
  double restart_s = 600;  ///< guess: notice, reschedule, start, load
  /// To a parallel file system, written while training waits. Llama 3 (3.3.1): 2 TB/s sustained for 2,048 nodes.
  double checkpoint_gb_per_s_per_node = 1;
  double checkpoint_bytes_per_parameter = 14;  ///< bf16 parameters, fp32 masters and both moments
  double jitter =
      0.005;  ///< guess: standard deviation of a rank's step time over its mean; every step waits for the last
  std::int64_t warmup_batch = 0;  ///< sequences of the first step, grows linearly to the whole batch; 0: whole at once
  double warmup_tokens = 0;       ///< over so many tokens
};

struct RunCost {
  double steps = 0, days = 0, cost_usd = 0;
  double energy_kwh = 0, co2_t = 0, mean_kw = 0;  ///< at the facility's meter
  double goodput = 1;                             ///< part of the days that brings training on; the rest are failures
  double straggler = 1;                           ///< time of a step over that of ranks without jitter
  double checkpoint_s = 0, checkpoint_every_s = 0;
};

RunCost run_cost(const RunOptions&, const Workload&, const Target&, const Plan&, const Estimate&);

/// Steps, and the seconds they take over those of as many tokens in whole batches, while the batch grows. Asks the
/// estimator for a few sizes on the way.
struct WarmupCost {
  double steps = 0, stretch = 1;
};
WarmupCost warmup_cost(const RunOptions&, Estimator&, const Plan&, const Estimate& whole);
RunCost run_cost(const RunOptions&, Estimator&, const Plan&, const Estimate&);  ///< with the warm-up

/// Mean power of a GPU during a step: its limit while kernels run. Guess: 45 % of it while it waits or communicates
/// (idle H100s draw about 10 to 20 %, spinning collectives more).
double gpu_watts(const GpuSpec&, const Estimate&);
/// Watts of a GPU's part of its node, facility included.
double watts_per_gpu(const RunOptions&, const Target&, const Estimate&);

struct Goodput {
  double part = 1;  ///< useful seconds over all
  double checkpoint_every_s = 0;
};
/// Daly 2006 ("A higher order estimate of the optimum checkpoint interval"): exponential failures with a mean of `mtbf`
/// seconds between them, each losing the work since the last checkpoint and a restart.
Goodput daly_goodput(double checkpoint_s, double restart_s, double mtbf_s);

/// Mean of the largest of n standard normal numbers (Blom's approximation; 0 for one).
double mean_of_largest(double n);

}  // namespace shardscope
