#pragma once
// When each op of a folded job ends. Without shared resources the virtual clock's rules need no events: an op starts
// when its lane, what it waits for and, of a meeting, everybody has come, so every end is a maximum of earlier ends
// plus a duration. Lanes are walked as far as that is known; a meeting lets its lanes go on.
//
//   ClockResult result = run_folded(store, levels, 0);   // as run_clock() would give it, by class instead of rank

#include <cstdint>
#include <vector>

#include "simulator/clock/virtual_clock.h"
#include "simulator/fold/rank_classes.h"
#include "simulator/fold/segment.h"

namespace shardscope {

/// One rank of a class.
struct FoldedRank {
  std::vector<int> segments;
  int parent = -1;      ///< one of an earlier level whose times are this rank's too, up to ...
  std::size_t own = 0;  ///< ... this segment
};

/// Ranks whose ops meet each other: one per class of a partition.
struct FoldedLevel {
  const RankPartition* partition = nullptr;
  std::vector<FoldedRank> ranks;  ///< by class
};

/// Runs levels one after the other; only the last one's ranks are in the result. Throws Error{kConfig} naming a rank if
/// the programs cannot end.
ClockResult run_folded(const SegmentStore& store, const std::vector<FoldedLevel>& levels,
                       std::int64_t step_overhead_ns);

}  // namespace shardscope
