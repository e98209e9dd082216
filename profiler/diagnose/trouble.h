#pragma once
// What is wrong with a run, in plain sentences, and what to change.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "profiler/query/replay.h"

namespace shardscope {

/// Something to change. What it would do is asked of the simulator where the run's job is known (settings, as
/// predict --like --set has them), else of a replay of a measured step.
struct Trial {
  std::string what;                   ///< "stage3_prefetch_bucket_size = 2e+08"
  std::vector<std::string> settings;  ///< empty: no setting of a job of ours
  std::optional<ReplayChange> replay;
  std::string replayed;  ///< what the replay supposes: "all of it were hidden"
};

/// What a trial came to.
struct TrialResult {
  std::string sentence;  ///< "with stage3_prefetch_bucket_size = 2e+08 the simulator predicts -9 %"
  double change = 0;     ///< of the step's time; below 0: faster
  bool simulated = false;
};

struct Trouble {
  std::string rule;                   ///< a word: "exposed_communication"
  double cost_s = 0;                  ///< of a mean step of a rank, at most: what is gained if it were not there
  double share = 0;                   ///< of the step
  std::string what;                   ///< one sentence
  std::vector<std::string> evidence;  ///< sentences with numbers, ops and ranks
  std::string advice;                 ///< one sentence
  std::vector<Trial> trials;
  std::vector<TrialResult> results;
};

}  // namespace shardscope
