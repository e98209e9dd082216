#include "profiler/query/host_ranges.h"

#include <algorithm>

namespace shardscope {

void RangeFinder::finish() {
  for (auto& [number, thread] : threads_) {
    std::stable_sort(thread.ranges.begin(), thread.ranges.end(), [](const Range& a, const Range& b) {
      return a.time.begin_ns != b.time.begin_ns ? a.time.begin_ns < b.time.begin_ns : a.time.end_ns > b.time.end_ns;
    });
  }
}

RangeFinder::Found RangeFinder::at(int thread, std::int64_t time_ns) {
  Found result;
  const auto found = threads_.find(thread);
  if (found == threads_.end()) return result;
  auto& of = found->second;
  for (; of.at < of.ranges.size() && of.ranges[of.at].time.begin_ns <= time_ns; ++of.at) of.open.push_back(of.at);
  std::erase_if(of.open, [&](std::size_t i) { return of.ranges[i].time.end_ns <= time_ns; });
  for (auto i = of.open.rbegin(); i != of.open.rend() && !result.phase; ++i) {
    const std::int32_t index = of.ranges[*i].op;
    const WorkOp& op = ops_[static_cast<std::size_t>(index)];
    if (result.range < 0 && op.is_range) result.range = index;
    result.phase = op.says_phase;
  }
  return result;
}

}  // namespace shardscope
