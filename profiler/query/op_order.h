#pragma once
// What a profile itself says of a rank's ops: what each waits for, who is at the other end of its sends and receives,
// who else is in its ring. The program of a run of ours says all of it, some files of other programs who receives.
//
//   OpOrder order = read_op_order(profile, run.id, rank, [&](std::int32_t op) { return slices.contains(op); });
//   order.after[17]; order.transfers.at(42).peer

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "profiler/store/profile.h"

namespace shardscope {

/// One end of a transfer.
struct Transfer {
  int peer = 0;
  bool sends = false;
  bool back = false;  ///< to the rank before: the other way round between the same two is another transfer
};

struct OpOrder {
  /// By op: ops of other lanes that must have finished. Empty: the profile does not say what waits for what.
  std::vector<std::vector<std::int32_t>> after;
  std::map<std::int32_t, Transfer> transfers;  ///< by op, of those whose other end is known
  std::map<std::int32_t, std::string> rings;   ///< of ring shifts, by op: lane and ranks, the same on all of these
};

/// Ops for which `takes_time` is false (allocations: they have no slices) are looked through to what they waited for.
/// Throws Error{kParse} if the profile is damaged.
OpOrder read_op_order(const Profile& profile, std::int64_t run, int rank,
                      const std::function<bool(std::int32_t)>& takes_time);

}  // namespace shardscope
