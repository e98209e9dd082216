#pragma once
// `predict --like RUN.db --set ...`: this run, but with ...: the run's job, changed, in seconds fitted to the run,
// beside what was measured.

#include <cstdint>
#include <string>
#include <vector>

#include "core/spec/job.h"

namespace shardscope::cli {

struct PredictLike {
  std::string profile, run;           ///< run: name or number; empty: the last that was measured
  std::vector<std::string> settings;  ///< KEY=VALUE: core/spec/job_settings.h
  JobOverrides flags;                 ///< put over the settings; --machine: what the run does not show
  std::int64_t device_memory = 0;     ///< bytes; 0: the job's
  bool json = false;
};
void predict_like(const PredictLike& options);

std::string like_settings_help();  ///< of --set

}  // namespace shardscope::cli
