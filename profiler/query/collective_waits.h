#pragma once
// Whom do the others wait for, and how much of communication is that?
//
//   CollectiveWaits waits = collective_waits(matched, align_clocks(matched));
//   waits.stragglers[1].last, waits.groups[0].busbw
//
// A rank's time in a collective is divided at the instant at which the last rank arrives: before it waits, after it
// data moves. Both by the common clock (align_clocks.h), and only for collectives that synchronize.

#include <optional>
#include <string>
#include <vector>

#include "profiler/query/align_clocks.h"

namespace shardscope {

/// What one rank does in collectives, and how often the others wait for it.
struct Straggler {
  int rank = 0;
  std::int64_t collectives = 0;
  std::int64_t waits_ns = 0, moves_ns = 0;  ///< its own time in them
  std::int64_t last = 0;                    ///< times that it came last
  std::int64_t surely_last = 0;             ///< of these, by more than the clocks may be wrong
  std::int64_t behind_ns = 0;               ///< how much later than the one before it, over all these times
  std::int64_t made_wait_ns = 0;            ///< what all others together waited then
};

/// All collectives of one kind and group; sums over ranks.
struct GroupWaits {
  std::string kind, group;
  int ranks = 0;
  std::int64_t calls = 0;
  std::int64_t waits_ns = 0, moves_ns = 0;
  std::optional<double> algbw, busbw;  ///< bytes/s as nccl-tests counts, of the moving; of those whose bytes are known
  std::optional<int> most_last;        ///< the rank that made others wait longest; none: all came together
};

struct CollectiveWaits {
  std::vector<Straggler> stragglers;  ///< the one that made others wait longest first
  std::vector<GroupWaits> groups;     ///< longest waits first
};

/// One rank's part in one collective.
struct WaitedCall {
  std::size_t call = 0;  ///< index into MatchedCollectives::calls
  int rank = 0;
  std::int64_t start_ns = 0, end_ns = 0;  ///< by its own clock, as recorded
  std::int32_t op = 0;
  std::int64_t wait_ns = 0;  ///< until the last rank came
  int last_rank = 0;         ///< who that was
};
/// Of collectives that synchronize, between ranks whose clocks are known.
std::vector<WaitedCall> waited_calls(const MatchedCollectives& matched, const ClockAlignment& clocks);

CollectiveWaits collective_waits(const MatchedCollectives& matched, const ClockAlignment& clocks);

/// Why a table is empty, or not to be relied on, in sentences; empty if there is nothing to say.
std::vector<std::string> alignment_remarks(const MatchedCollectives& matched, const ClockAlignment& clocks);

}  // namespace shardscope
