#pragma once
// Two runs of the same program, op by op: measured beside predicted, joined on op id.

#include <string>
#include <vector>

#include "profiler/store/profile.h"

namespace shardscope {

struct OpComparison {
  std::int64_t op = 0;  ///< index in the program
  std::string kind, phase, name;
  int layer = -1, micro_batch = -1;
  double a_mean_s = 0, b_mean_s = 0;  ///< mean duration of one execution in each run
};

/// Ops of one rank that ran in both, largest difference first. Throws Error{kConfig} if the rank's programs differ (the
/// runs are then not of the same job) or one has no such rank.
std::vector<OpComparison> op_comparison(const Profile& profile_a, std::int64_t run_a, const Profile& profile_b,
                                        std::int64_t run_b, int rank);

}  // namespace shardscope
