#pragma once
// Why did the device have nothing to do? Looked for where the next piece of work was launched.
//
//   for (const IdlePiece& p : idle_pieces(work, gap)) use(p.cause, p.time);
//
// If the host launched it only after the device had run dry, the host is the cause: it read a batch, took or gave back
// memory, had waited for the device before (so that nothing was queued), or was simply not faster. If it was launched
// before, it waited on the device for what it depends on, in another queue. Where no launch was recorded nothing is
// known.

#include <string_view>
#include <vector>

#include "profiler/query/rank_work.h"

namespace shardscope {

enum class IdleCause : std::uint8_t {
  kLaunch,      ///< the host launches no faster
  kSync,        ///< the host waited for the device, and could queue nothing meanwhile
  kData,        ///< the host read a batch
  kAllocation,  ///< the host took or gave back memory
  kQueued,      ///< launched, and not begun: it depends on another queue
  kUnknown
};
inline constexpr int kIdleCauses = 6;
std::string_view to_string(IdleCause cause);  ///< "the host launches no faster"

struct IdlePiece {
  IdleCause cause = IdleCause::kUnknown;
  TimeWindow time;
};

/// From a launch to its begin on a device that is idle: less is the way there, more a dependency. Guess: launches of
/// CUDA take 3 to 10 us.
inline constexpr std::int64_t kLaunchLatencyNs = 12'000;

/// Pieces in order of time that fill the gap: in it nothing of work.device is under way.
std::vector<IdlePiece> idle_pieces(const RankWork& work, TimeWindow gap);

}  // namespace shardscope
