#pragma once
// Whose work is it that a device does? Its time by the innermost operator, annotation or NVTX range of the host in
// which it was launched, over ranks and steps.
//
//   LaunchSums sums;
//   sums.add(work, step.time);
//   for (const LaunchedIn& r : sums.take()) use(r.name, r.total_ns);

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "profiler/query/rank_work.h"

namespace shardscope {

struct LaunchedIn {
  std::string kind, name;  ///< both empty: launched outside of any, or its launch was not recorded
  std::int64_t count = 0, total_ns = 0;
};

class LaunchSums {
 public:
  /// What begins within the step.
  void add(const RankWork& work, TimeWindow step);
  /// Longest first; empty where the host has no ranges.
  std::vector<LaunchedIn> take();

 private:
  LaunchedIn& sum_of(const WorkOp& range);
  std::map<std::pair<std::string, std::string>, LaunchedIn> sums_;  ///< by kind and name
  LaunchedIn outside_;
};

}  // namespace shardscope
