#pragma once
// Which training steps has each rank of a run? Those that were recorded; or, of a run of another program that marks
// none, those that its device's work shows by repeating itself.
//
//   RunSteps steps = run_steps(profile, run.id);
//   for (const RunStep& s : steps.steps) use(s.rank, s.step, s.time);

#include <string>
#include <vector>

#include "profiler/query/timeline.h"

namespace shardscope {

struct RunStep {
  int rank = 0;
  std::int64_t step = 0;
  TimeWindow time;
};

enum class StepSource : std::uint8_t {
  kRecorded,  ///< by our engine, or as ranges (ProfilerStep#3)
  kRepeats,   ///< found by find_repeats(), numbered from 0
  kWhole      ///< neither: the recording of each rank is taken as one step, number 0
};

struct RunSteps {
  std::vector<RunStep> steps;  ///< by rank, then step; empty only if nothing was recorded
  StepSource source = StepSource::kRecorded;
  std::string remark;  ///< a sentence where they were not recorded
};

/// Throws Error{kParse} if the profile is damaged.
RunSteps run_steps(const Profile& profile, std::int64_t run);

/// Those that means are taken over: of each rank all, but the first, which warms up, where there are three or more.
std::vector<RunStep> counted_steps(const RunSteps& steps);

/// One piece of work of a queue, and what it was.
struct QueuedWork {
  std::int32_t op = 0;
  TimeWindow time;
};

/// Stretches of a queue that hold the same work as the one before, in time order; each begins where the queue was
/// idle longest. An op that begins every stretch is looked for such that all stretches are alike (at least nine tenths
/// of their work by count). The first and the last may be cut, and are then left out. Empty if there are not at least
/// two.
std::vector<TimeWindow> find_repeats(const std::vector<QueuedWork>& work);

}  // namespace shardscope
