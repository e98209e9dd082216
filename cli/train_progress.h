#pragma once
// The line that train shows while it runs, on standard error: rewritten in place on a terminal, a line per step (at
// most one a second) elsewhere.
//
//   TrainProgress progress(job.steps);   ...   progress.show(report);   ...   progress.end();

#include <chrono>
#include <cstdint>

#include "core/engine/trainer.h"

namespace shardscope::cli {

class TrainProgress {
 public:
  explicit TrainProgress(std::int64_t steps);
  void show(const StepReport& report);
  /// Leaves the last line standing.
  void end();

 private:
  std::int64_t steps_;
  bool rewrites_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace shardscope::cli
