#pragma once
// Where does the time of a step go?
//
// Every instant of a step belongs to one part: what the compute lane is doing (optimizer, load or compute), else
// communication if some is running (exposed: nothing hides it), else offload (copies, NVMe, host compute), else idle.
// So the parts add up to the total, exactly. Measured and predicted runs are divided by the same code.

#include <vector>

#include "profiler/store/profile.h"

namespace shardscope {

struct Breakdown {
  double compute_s = 0, optimizer_s = 0, load_s = 0, exposed_communication_s = 0, offload_s = 0, idle_s = 0;
  double total_s = 0;
  double communication_s = 0;  ///< hidden and exposed; not one of the parts
};

struct RankBreakdown {
  int rank = 0;
  std::int64_t steps = 0;  ///< averaged over
  Breakdown mean;
};

struct StepParts {
  int rank = 0;
  std::int64_t step = 0;
  Breakdown parts;
};

/// Mean over the steps of each rank, in rank order. The first step, which warms up, is left out where there are three
/// or more.
std::vector<RankBreakdown> step_breakdown(const Profile& profile, std::int64_t run);
/// Mean over ranks of the above; zeros if the run has no steps.
Breakdown mean_breakdown(const Profile& profile, std::int64_t run);
/// Every step of every rank, by rank, then step.
std::vector<StepParts> step_breakdown_by_step(const Profile& profile, std::int64_t run);

}  // namespace shardscope
