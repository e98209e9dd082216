#pragma once
// What would a change of its job do to a measured run? Asked many times of one run; `predict --like` answers once, in
// full.
//
//   const LikeTrials trials(profile, "zero-3");
//   LikeOutcome o = trials.try_settings({"deepspeed.zero_optimization.stage3_prefetch_bucket_size=2e8"});
//   o.change                                    // -0.09: a token takes 9 % less time
//
// Against the run as it is predicted, not as it was measured: what differs is then the change alone.

#include <string>
#include <vector>

#include "simulator/like/measured_run.h"

namespace shardscope {

struct LikeOutcome {
  double change = 0;    ///< of the time of a token; below 0: faster
  double memory = 0;    ///< change of the fullest device's peak
  std::string problem;  ///< why the job does not run so, or does not fit; then there is no change
};

class LikeTrials {
 public:
  /// Throws Error as read_measured_run() does.
  LikeTrials(const Profile& profile, const std::string& run);
  LikeOutcome try_settings(const std::vector<std::string>& settings) const;
  const std::string& source() const { return run_.source; }

 private:
  MeasuredJob run_;
  Machine machine_;
  double token_s_ = 0;  ///< of the run as predicted
  std::int64_t peak_bytes_ = 0;
};

}  // namespace shardscope
