#pragma once
// Why does a step of one run take longer than of another? The difference by cause, whole nanoseconds that add up to it.
//
//   RunAlignment alignment = align_runs(profile, 1, profile, 2);
//   StepDifference why = step_difference(profile, 1, profile, 2, alignment);
//   why.difference_ns(Cause::kStraggler), why.difference_ns()
//
// The parts are those of step_breakdown.h, exposed communication divided in two: at an instant at which all that
// communicates waits for another rank to arrive, the rank waits for a straggler.

#include <array>
#include <string_view>
#include <vector>

#include "profiler/query/align_runs.h"

namespace shardscope {

enum class Cause : std::uint8_t {
  kCompute,        ///< forward, backward, recomputation
  kOptimizer,      ///< on the compute lane
  kLoad,           ///< reading a batch
  kCommunication,  ///< exposed, and moving
  kStraggler,      ///< exposed, waiting for the last rank to arrive
  kOffload,        ///< copies, NVMe, host compute that nothing hides
  kIdle            ///< nothing runs: launch gaps, bubbles
};
inline constexpr int kCauses = 7;
std::string_view to_string(Cause cause);  ///< "waiting for a straggler"

using CauseTimes = std::array<std::int64_t, kCauses>;  ///< ns, by Cause

struct StepCauses {
  int rank = 0;
  std::int64_t step = 0;
  CauseTimes ns{};  ///< adds up to the step's duration
};

/// Of the ranks given, by rank, then step. Reads all slices of their lanes. Of a rank without slices all exposed
/// communication counts as moving.
std::vector<StepCauses> step_causes(const Profile& profile, std::int64_t run, const std::vector<int>& ranks);

/// Sums over the same steps and ranks of both runs.
struct StepDifference {
  CauseTimes a{}, b{};
  std::int64_t steps = 0, ranks = 0;  ///< that were added up: what a mean divides by, both multiplied
  std::int64_t difference_ns(Cause cause) const { return a[index(cause)] - b[index(cause)]; }
  std::int64_t difference_ns() const;  ///< of all causes together
  double mean_s(std::int64_t sum_ns) const {
    return steps * ranks == 0 ? 0 : 1e-9 * double(sum_ns) / double(steps * ranks);
  }
  static constexpr std::size_t index(Cause cause) { return static_cast<std::size_t>(cause); }
};

/// What is added up: all ranks and steps, but the first where there are three or more; or one of them.
struct DifferenceOf {
  int rank = -1;           ///< below 0: all that both runs have
  std::int64_t step = -1;  ///< A's; below 0: all counted ones
};
/// Throws Error{kConfig} if the rank or step is in none of both.
StepDifference step_difference(const Profile& profile_a, std::int64_t run_a, const Profile& profile_b,
                               std::int64_t run_b, const RunAlignment& alignment, const DifferenceOf& what = {});

}  // namespace shardscope
