#pragma once
// How long does each op take, and what job was it of? What a machine is fitted to.
//
//   for (const RankSeconds& rank : op_seconds(profile, run.id)) use(rank.seconds[op]);

#include <string>
#include <vector>

#include "profiler/store/profile.h"

namespace shardscope {

struct RankSeconds {
  int rank = 0;
  std::int64_t program_hash = 0;  ///< hash_of(op_records()) of what the rank ran (profiler/store/program_rows.h)
  /// By op: median over the steps of a slice without the part spent waiting for other ranks; 0: never ran. The first
  /// step, which warms up, is left out where there are three or more.
  std::vector<double> seconds;
  /// Median from the end of a slice of the compute lane to the start of its next one of the step: what the lane itself
  /// takes from op to op, where most ops wait for nothing. 0: there are no two.
  double lane_gap_s = 0;
};

/// In rank order.
std::vector<RankSeconds> op_seconds(const Profile& profile, std::int64_t run);

/// run.job_json, as it was written.
std::string job_record(const Profile& profile, std::int64_t run);

}  // namespace shardscope
