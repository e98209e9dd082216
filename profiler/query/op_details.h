#pragma once
// What is known of one op on one rank: its work, its times in this run, and in another run of the same program (the
// prediction of a measured one, or the other way round).
//
//   OpDetails details = op_details(profile, run, rank, op);
//   details.other = op_times(other_profile, other_run, rank, op, details.program_hash);

#include <optional>
#include <string>

#include "profiler/store/profile.h"

namespace shardscope {

/// Over all executions in a run.
struct OpTimes {
  std::int64_t count = 0;
  double mean_ns = 0;
  std::int64_t min_ns = 0, max_ns = 0;
  double mean_wait_ns = 0;
};

struct OpDetails {
  std::string kind, lane, phase, name, group;
  int layer = -1, micro_batch = -1, group_size = 0;
  double flops = 0;
  std::int64_t bytes = 0;             ///< least memory traffic of one execution
  std::int64_t collective_bytes = 0;  ///< of communication, as nccl-tests counts; 0: none
  std::int64_t program_hash = 0;
  double peak_flops = 0;  ///< FLOP/s of the rank's device; 0: unknown
  bool predicted = false;
  OpTimes times;
};

/// Throws Error{kConfig} if the rank has no such op.
OpDetails op_details(const Profile& profile, std::int64_t run, int rank, int op);
/// Nothing if the rank is not there, its program is another one, or the op never ran.
std::optional<OpTimes> op_times(const Profile& profile, std::int64_t run, int rank, int op, std::int64_t program_hash);

}  // namespace shardscope
