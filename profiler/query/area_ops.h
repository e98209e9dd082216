#pragma once
// Which ops ran in a stretch of time on some ranks, how often and how long?
//
//   for (const AreaOp& op : area_ops(timeline, {begin_ns, end_ns}, {0, 3}, [] { return false; })) ...

#include <functional>
#include <string>
#include <vector>

#include "profiler/query/timeline.h"

namespace shardscope {

/// Executions of the ops of one kind, name and phase, whatever their layer's number and micro-batch.
struct AreaOp {
  std::string kind, name, phase, group;
  WorkClass work = WorkClass::kForward;
  bool communication = false;
  std::int64_t count = 0;      ///< executions that overlap the area
  std::int64_t inside_ns = 0;  ///< their time inside it
  std::int64_t wait_ns = 0;    ///< of whole executions
  /// Of whole executions, also where the area cuts them.
  double mean_ns = 0;
  std::int64_t p50_ns = 0, p99_ns = 0, max_ns = 0;
  std::int64_t bytes = 0;  ///< of one execution of the last op added
};

/// Longest time inside first. Reads every slice of the area: 10 million take
/// about a second. `stopped` makes it end early with what it has.
std::vector<AreaOp> area_ops(const Timeline& timeline, TimeWindow time, const RankSet& ranks,
                             const std::function<bool()>& stopped);

}  // namespace shardscope
