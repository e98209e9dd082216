#pragma once
// How much communication is not hidden behind compute?

#include <vector>

#include "profiler/store/profile.h"

namespace shardscope {

/// Mean over the steps of one rank (those of step_breakdown).
struct ExposedCommunication {
  int rank = 0;
  double communication_s = 0;  ///< time during which any communication of the rank runs
  double exposed_s = 0;        ///< of which the rank computes nothing
  double step_s = 0;
};

std::vector<ExposedCommunication> exposed_communication(const Profile& profile, std::int64_t run);

}  // namespace shardscope
