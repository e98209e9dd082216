#pragma once
// Which ops make two runs differ? Any two runs: ops are the same if they are called the same, whatever else their
// programs hold.
//
//   for (const OpDifference& op : op_differences(profile_a, 1, profile_b, 2)) show(op.label, op.delta_s(), op.share);
//   OpDurations both = op_durations(profile_a, 1, label);   // of each execution, for a histogram
//
// From the sums that the profile holds (op_time), so that it does not depend on how many slices there are.

#include <string>
#include <tuple>
#include <vector>

#include "profiler/store/levels.h"
#include "profiler/store/profile.h"

namespace shardscope {

/// What an op is called. Layer and micro-batch are not told apart: the name has the layer, micro-batches are added up.
struct OpLabel {
  std::string kind, phase, name;
  friend auto operator<=>(const OpLabel&, const OpLabel&) = default;
};
std::string to_string(const OpLabel& label);  ///< "matmul h.0.mlp (forward)"

/// Of a step and rank, mean over all of them.
struct OpDifference {
  OpLabel label;
  WorkClass work = WorkClass::kForward;
  double a_s = 0, b_s = 0;          ///< all executions together, waiting included
  double a_count = 0, b_count = 0;  ///< executions
  double share = 0;                 ///< part of the sum of all differences, each without its sign
  double delta_s() const { return b_s - a_s; }
  double count_change() const { return b_count - a_count; }
};

/// Largest difference first. Throws Error{kConfig} if no op of one run is called as one of the other.
std::vector<OpDifference> op_differences(const Profile& profile_a, std::int64_t run_a, const Profile& profile_b,
                                         std::int64_t run_b);

/// Seconds of every execution on every rank, in no order. Reads the slices of the lanes that the op is on.
std::vector<double> op_durations(const Profile& profile, std::int64_t run, const OpLabel& label);

}  // namespace shardscope
