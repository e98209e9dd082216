#pragma once
// What no estimate of a plan can be below, from a few divisions: the search leaves out plans by it without asking the
// estimator, and still finds the same front (tests/planner_property_test.cpp).
//
//   PlanBounds bounds(workload, target, framework);
//   bounds.step_time(plan) <= estimator.estimate(plan).step_time_s;  bounds.bytes(plan) <= estimate.used
//
// Time: the model's FLOPs at the efficiencies that the largest kernels reach, times the pipeline's length; stragglers
// of a pipeline, element-wise kernels, communication and updates left out. Memory: the rank's mean part of parameters,
// gradients and optimizer; activations and all else left out.

#include "simulator/analytic/estimate.h"

namespace shardscope {

class PlanBounds {
 public:
  PlanBounds(const Workload&, const Target&, const FrameworkSpec&, const Constants& = default_constants());

  double step_time(const Plan&) const;       ///< seconds; grows with micro_batch
  double bytes(const Plan&) const;           ///< of Estimate::used
  double kernel_seconds(const Plan&) const;  ///< of a step on one GPU: a bound of what it is busy

 private:
  double seconds_per_sequence_ = 0;  ///< of one GPU
  double recompute_seconds_ = 0;     ///< more of them with full recomputation
  double dense_parameters_ = 0, expert_parameters_ = 0;
  FrameworkSpec framework_;
};

/// What a step takes without all that depends on how the state is shared out: equal for plans that differ in zero,
/// shard and offload only, so one estimate bounds the others from below.
double seconds_without_state(const Plan&, const Estimate&);

}  // namespace shardscope
