#include "profiler/query/launched_in.h"

#include <algorithm>

namespace shardscope {

void LaunchSums::add(const RankWork& work, TimeWindow step) {
  for (const DeviceSlice& slice : work.device) {
    if (slice.time.begin_ns < step.begin_ns || slice.time.begin_ns >= step.end_ns) continue;
    LaunchedIn& sum = slice.range < 0 ? outside_ : sum_of(work.op(slice.range));
    ++sum.count;
    sum.total_ns += slice.time.length();
  }
}

std::vector<LaunchedIn> LaunchSums::take() {
  std::vector<LaunchedIn> all;
  for (auto& [key, sum] : sums_) all.push_back(std::move(sum));
  if (!all.empty() && outside_.count > 0) all.push_back(outside_);
  std::stable_sort(all.begin(), all.end(),
                   [](const LaunchedIn& a, const LaunchedIn& b) { return a.total_ns > b.total_ns; });
  return all;
}

LaunchedIn& LaunchSums::sum_of(const WorkOp& range) {
  LaunchedIn& sum = sums_[{range.kind, range.name}];
  if (sum.count == 0) sum.kind = range.kind, sum.name = range.name;
  return sum;
}

}  // namespace shardscope
