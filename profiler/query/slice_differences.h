#pragma once
// Where along a lane does one run differ from the other, op by op?
//
//   for (const SliceDifference& d : slice_differences(a, b, alignment, rank, "compute")) bar(d.a, d.delta_ns());
//
// Executions belong together if they are of the same step, the same name (kind, phase, name, micro-batch) and the same
// place among those of that name.

#include <optional>

#include "profiler/query/align_runs.h"

namespace shardscope {

struct SliceDifference {
  TimeWindow a, b;
  std::int64_t step = 0;  ///< A's
  std::int32_t a_op = 0;
  std::int64_t delta_ns() const { return b.length() - a.length(); }  ///< above 0: longer in B
};

/// In order of A's time; executions that one run has alone are left out. Empty if a run has no such lane.
std::vector<SliceDifference> slice_differences(const Timeline& a, const Timeline& b, const RunAlignment& alignment,
                                               int rank, const std::string& lane);

/// The nearest one after (or, `forward` false, before) the instant of A that differs by at least `least_ns`.
std::optional<SliceDifference> next_difference(const std::vector<SliceDifference>& differences, std::int64_t a_ns,
                                               bool forward, std::int64_t least_ns);

/// What is worth stopping at: a hundredth of the mean step of A, but not less than the hundredth largest difference.
std::int64_t notable_ns(const std::vector<SliceDifference>& differences, const RunAlignment& alignment);

}  // namespace shardscope
