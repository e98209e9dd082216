#pragma once
// How fast is communication? Bandwidths as nccl-tests defines them (its doc/PERFORMANCE.md): algbw = bytes / time,
// busbw = algbw * factor, with factor 2(n-1)/n for all_reduce, (n-1)/n for all_gather, reduce_scatter and all_to_all,
// 1 for broadcast, ring_shift, send and recv. Time is that of moving: what was spent waiting for the last rank is not
// in it.

#include <string>
#include <vector>

#include "profiler/store/profile.h"

namespace shardscope {

/// All executions, on all ranks, of collectives of one kind, group and size.
struct CollectiveBandwidth {
  std::string kind, group;  ///< "all_reduce", "dp"
  int ranks = 1;            ///< of the group
  std::int64_t bytes = 0;   ///< of one, as nccl-tests counts them
  std::int64_t count = 0;
  double mean_s = 0;            ///< duration, waiting included
  double mean_wait_s = 0;       ///< of which waiting
  double algbw = 0, busbw = 0;  ///< bytes/s; 0 where no time was spent moving
};

/// Largest first.
std::vector<CollectiveBandwidth> collective_bandwidth(const Profile& profile, std::int64_t run);

}  // namespace shardscope
