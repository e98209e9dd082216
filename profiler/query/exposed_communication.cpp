#include "profiler/query/exposed_communication.h"

#include "profiler/query/step_breakdown.h"

namespace shardscope {

std::vector<ExposedCommunication> exposed_communication(const Profile& profile, std::int64_t run) {
  std::vector<ExposedCommunication> ranks;
  for (const RankBreakdown& rank : step_breakdown(profile, run)) {
    ranks.push_back({rank.rank, rank.mean.communication_s, rank.mean.exposed_communication_s, rank.mean.total_s});
  }
  return ranks;
}

}  // namespace shardscope
