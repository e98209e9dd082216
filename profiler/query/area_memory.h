#pragma once
// What did each rank hold in a stretch of time: at its start, at most, at least, and at its end?
//
//   for (const AreaMemory& row : area_memory(memory, {begin_ns, end_ns}, {0, 3}, [] { return false; })) ...

#include <functional>
#include <vector>

#include "profiler/query/memory_timeline.h"

namespace shardscope {

/// One space of one rank, in bytes.
struct AreaMemory {
  int rank = 0;
  Space space = Space::kDevice;
  std::int64_t at_begin = 0, lowest = 0, highest = 0, at_end = 0;
  MemoryParts at_highest{};  ///< by category: these sum to `highest`
};

/// By rank, then space; ranks that ever hold anything there. `stopped` ends it early.
std::vector<AreaMemory> area_memory(const MemoryTimeline& memory, TimeWindow time, const RankSet& ranks,
                                    const std::function<bool()>& stopped);

}  // namespace shardscope
