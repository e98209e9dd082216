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
  /// By op: what a slice takes without waiting for other ranks, mean over the steps of middling length (the middle half
  /// by duration; the first, which warms up, left out of three or more); 0: never ran. The time that the system's
  /// scheduler gave to others is in it, so that with the gaps it sums to the step.
  std::vector<double> seconds;
  /// The lower quartile over the same steps: where ranks take turns on a core, without what others took.
  std::vector<double> quick_seconds;
  /// Median from the end of a slice of the compute lane to the start of its next one of the step: what the lane itself
  /// takes from op to op, where most ops wait for nothing. 0: there are no two.
  double lane_gap_s = 0;
};

/// In rank order.
std::vector<RankSeconds> op_seconds(const Profile& profile, std::int64_t run);

/// run.job_json, as it was written.
std::string job_record(const Profile& profile, std::int64_t run);

}  // namespace shardscope
