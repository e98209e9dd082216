#pragma once
// Which kinds of op take the time of a run?

#include <string>
#include <vector>

#include "profiler/store/profile.h"

namespace shardscope {

/// All executions, on all ranks, of one kind of op in one phase.
struct OpSummary {
  std::string kind, phase, lane;  ///< "matmul", "backward", "compute"
  std::int64_t count = 0;
  double total_s = 0, mean_s = 0, min_s = 0, max_s = 0;
  double wait_s = 0;                        ///< collectives: part of total_s spent waiting for other ranks
  double exposed_s = 0;                     ///< communication: part of total_s that nothing hides
  double flops_per_s = 0, bytes_per_s = 0;  ///< achieved, over total_s
};

/// Longest total first; `limit` 0: all.
std::vector<OpSummary> op_summary(const Profile& profile, std::int64_t run, int limit = 0);

}  // namespace shardscope
