#pragma once
// Which step of one run belongs beside which step of another, and what instant of one is what instant of the other?
//
//   RunAlignment alignment = align_runs(profile, measured.id, profile, predicted.id);
//   std::int64_t b_ns = b_time(alignment, a_ns);       // as far into the same step
//
// Steps of one number are beside each other and begin together. If B is a prediction it repeats itself: a step that it
// does not have is its last one.

#include <string>
#include <vector>

#include "profiler/query/timeline.h"

namespace shardscope {

struct AlignedStep {
  std::int64_t a_step = 0, b_step = 0;
  TimeWindow a, b;  ///< from where the first of its ranks begins to where the last ends; of the ranks of both runs
  std::int64_t slip_ns() const { return a.length() - b.length(); }  ///< how much longer it takes in A
};

struct RunAlignment {
  std::vector<AlignedStep> steps;    ///< in order of A's time, at least one
  std::vector<int> ranks;            ///< that both runs have, at least one
  std::vector<std::string> remarks;  ///< what has nothing beside it: "B has no steps 5 to 9"
};

/// Throws Error{kConfig} if there is nothing to lay beside each other: a run without steps, no step of one number, no
/// rank that both have.
RunAlignment align_runs(const Profile& profile_a, std::int64_t run_a, const Profile& profile_b, std::int64_t run_b);

/// The instant as far after the begin of the aligned step; before the first and after the last step it goes on at the
/// same speed.
std::int64_t b_time(const RunAlignment& alignment, std::int64_t a_ns);
std::int64_t a_time(const RunAlignment& alignment, std::int64_t b_ns);

/// Index of the aligned step that an instant of A is in, or after; 0 before the first.
std::size_t step_at(const RunAlignment& alignment, std::int64_t a_ns);

/// What averages are taken over: all, but the first step, which warms up, where there are three or more.
std::size_t first_counted(const RunAlignment& alignment);

}  // namespace shardscope
