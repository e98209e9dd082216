#pragma once
// What the lanes of a rank were busy with, and how much of its time that is by class.
//
//   RankLog log;
//   log[lane].add(TimeClass::kCompute, 0, 40);
//   add_busy(times, {&log}, 0, 100);

#include <array>
#include <cstdint>
#include <vector>

#include "core/program/types.h"
#include "simulator/clock/virtual_clock.h"

namespace shardscope {

struct Interval {
  std::int64_t begin, end;
};

/// Of one lane: intervals of each class, in order and apart.
struct LaneLog {
  std::array<std::vector<Interval>, kTimeClasses> busy;
  void add(TimeClass c, std::int64_t begin, std::int64_t end);
};
using RankLog = std::array<LaneLog, kLanes>;

/// Adds the busy time of [from, to): an instant belongs to the first class that any lane is busy with.
void add_busy(RankTimes& times, const std::vector<const RankLog*>& logs, std::int64_t from, std::int64_t to);

}  // namespace shardscope
