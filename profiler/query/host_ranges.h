#pragma once
// Within which ranges of a thread was something called? Operators, annotations and NVTX ranges of the host.
//
//   RangeFinder finder(reader.ops());
//   finder.add(thread, time, op);        // all of them, in any order
//   finder.finish();
//   finder.at(thread, call.begin_ns).range;

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "profiler/query/rank_work.h"

namespace shardscope {

class RangeFinder {
 public:
  /// `ops` must live longer.
  explicit RangeFinder(const std::vector<WorkOp>& ops) : ops_(ops) {}
  void add(int thread, TimeWindow time, std::int32_t op) { threads_[thread].ranges.push_back({time, op}); }
  void finish();

  struct Found {
    std::int32_t range = -1;     ///< op of the innermost one that is open; -1: none
    std::optional<Phase> phase;  ///< that the innermost one of those that say one says
  };
  /// Calls of a thread come by begin.
  Found at(int thread, std::int64_t time_ns);

 private:
  struct Range {
    TimeWindow time;
    std::int32_t op;
  };
  struct Thread {
    std::vector<Range> ranges;
    std::size_t at = 0;             ///< first that has not begun
    std::vector<std::size_t> open;  ///< outermost first
  };
  const std::vector<WorkOp>& ops_;
  std::map<int, Thread> threads_;
};

}  // namespace shardscope
