#pragma once
// When each op of a folded job ends, by the rules of the virtual clock. Where nobody else can draw on what an op draws
// on, its end is the largest of earlier ends plus its duration, and needs no event: lanes are walked as far as that
// goes, a meeting lets its lanes go on. The rest are events, in order of time.
//
//   ClockResult result = run_folded(store, costs.resources(), levels, 0);   // by class instead of rank
//
// A later level starts from the ends of the one before it. If something in it draws on what that one still drew on at
// the time, or something of that one waits for it, all is run again as one level.

#include <cstdint>
#include <vector>

#include "simulator/clock/virtual_clock.h"
#include "simulator/fold/class_resources.h"
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

struct FoldedWork {
  std::int64_t slowed = 0;  ///< times that an op or a meeting had to go on below full speed
  bool again = false;       ///< as one level
};

/// Runs levels one after the other; only the last one's ranks are in the result. Throws Error{kConfig} naming a rank if
/// the programs cannot end.
ClockResult run_folded(const SegmentStore& store, const std::vector<Resource>& resources,
                       const std::vector<FoldedLevel>& levels, std::int64_t step_overhead_ns,
                       FoldedWork* work = nullptr);

}  // namespace shardscope
