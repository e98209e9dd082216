#pragma once
// Where do two runs differ, whatever recorded or predicted them? A measured run of PyTorch against a prediction, or
// two runs of other programs, whose ops have no names in common.
//
//   RunDifference d = run_difference(profile_a, 1, profile_b, 1);
//   for (const PartDifference& p : d.parts) use(p.part, p.a_s, p.b_s);
//
// Three ways: by part of the step (adds up to the difference), by family and phase of work, and collective by
// collective in the order of a step. All are of a mean step of a rank.

#include <optional>
#include <string>
#include <vector>

#include "profiler/query/time_breakdown.h"
#include "profiler/query/work_family.h"

namespace shardscope {

struct PartDifference {
  TimePart part = TimePart::kCompute;
  double a_s = 0, b_s = 0;
};

/// Time of a family of work, whether hidden or not. Of collectives by kind.
struct FamilyDifference {
  WorkFamily family = WorkFamily::kMatmul;
  std::string kind;  ///< of collectives: all_reduce, ...
  std::optional<Phase> phase;
  double a_s = 0, b_s = 0, a_count = 0, b_count = 0;
};

/// A collective of one kind, as often in a step of A as of B, and in the same place among those of its kind; or all of
/// a kind together, where they are not as many.
struct CollectiveDifference {
  std::string kind;
  std::optional<int> place;         ///< from 0; none: all of them
  double a_bytes = 0, b_bytes = 0;  ///< 0: unknown
  double a_s = 0, b_s = 0;          ///< waiting included
  double a_wait_s = 0, b_wait_s = 0;
  double a_count = 1, b_count = 1;
};

struct RunDifference {
  double a_step_s = 0, b_step_s = 0;
  std::vector<PartDifference> parts;              ///< those that either has, in the order of TimePart
  std::vector<FamilyDifference> families;         ///< largest difference first
  std::vector<CollectiveDifference> collectives;  ///< largest difference first
  std::vector<std::string> remarks;
};

/// Throws Error{kConfig} if one of them has no steps.
RunDifference run_difference(const Profile& profile_a, std::int64_t run_a, const Profile& profile_b,
                             std::int64_t run_b);

}  // namespace shardscope
