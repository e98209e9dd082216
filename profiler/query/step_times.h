#pragma once
// How long do steps take, and how does the loss go?

#include <vector>

#include "profiler/store/profile.h"

namespace shardscope {

struct StepTimes {
  std::vector<double> losses;   ///< per step; NaN in predicted runs
  std::vector<double> times_s;  ///< per step, of its slowest rank
  /// 0 without steps. The first step, which warms up, is left out where there are three or more.
  double median_s = 0, p10_s = 0, p90_s = 0;
  double tokens_per_s = 0;  ///< of all ranks, at the median
};

StepTimes step_times(const Profile& profile, std::int64_t run);

/// Quantile q in [0, 1] with linear interpolation between neighbours; 0 for no values.
double quantile(std::vector<double> values, double q);

}  // namespace shardscope
