#pragma once
// Which executions of collectives on different ranks are one and the same?
//
//   MatchedCollectives matched = match_collectives(profile, run.id);
//   for (const Arrival& a : matched.calls[0].arrivals) use(a.rank, a.start_ns, a.end_ns);
//
// Where an imported file numbers its collectives: by group, kind and number. Else by group, kind and lane, in order
// within each step. Groups of one name are told apart by their ranks. What ranks do not have equally often is left out,
// as is a group whose ranks nobody names (in files of other programs that do not, and older profiles): a wrong match
// would be worse than none.

#include <cstdint>
#include <string>
#include <vector>

#include "profiler/store/profile.h"

namespace shardscope {

/// One rank's part in a collective, by its own clock.
struct Arrival {
  int rank = 0;
  std::int64_t start_ns = 0, end_ns = 0;
  std::int32_t op = 0;
};

struct MatchedCollective {
  std::string kind, group;
  int ranks = 0;           ///< of the group; not all need be in the profile
  std::int64_t bytes = 0;  ///< as nccl-tests counts them; 0: unknown
  /// No rank can leave before the last has come: all_reduce, all_gather, reduce_scatter, even all_to_all.
  bool synchronizes = false;
  std::vector<Arrival> arrivals;  ///< by rank, at least two
};

struct MatchedCollectives {
  std::vector<int> ranks;                ///< all of the run, in order
  std::vector<MatchedCollective> calls;  ///< in order of the first arrival's start
  std::int64_t executions = 0;           ///< of collectives, on all ranks
  std::int64_t unmatched = 0;            ///< of these, that are in no call
};

/// Sends, receives and ring shifts are no collectives here. Throws Error{kParse} if the profile is damaged.
MatchedCollectives match_collectives(const Profile& profile, std::int64_t run);

}  // namespace shardscope
