#pragma once
// Runs for the tests of models and views: two measured, one with a prediction.

#include <limits>
#include <string>
#include <vector>

#include "gui/models/run_summary.h"

namespace shardscope::gui {

inline RunSummary sample_run(std::int64_t id, const std::string& name, bool predicted) {
  RunSummary summary;
  summary.file = "sample.db";
  summary.run.id = id;
  summary.run.name = name;
  summary.run.predicted = predicted;
  summary.run.status = "finished";
  summary.run.model = "gpt-10m";
  summary.run.world = 4;
  summary.run.zero_stage = 2;
  summary.run.steps = 20;
  summary.run.parameters = 10'000'000;
  summary.step_time_s = predicted ? 0.240 : 0.250;
  summary.tokens_per_s = 4096 / summary.step_time_s;
  summary.last_loss = predicted ? std::numeric_limits<double>::quiet_NaN() : 4.25;
  summary.parts = {.compute_s = 0.180,
                   .optimizer_s = 0.020,
                   .load_s = 0,
                   .exposed_communication_s = 0.030,
                   .offload_s = 0,
                   .idle_s = 0.010,
                   .total_s = 0.240,
                   .communication_s = 0.060};
  summary.fullest_rank = 3;
  summary.peak_bytes = 100 << 20;
  summary.memory = {{3, Space::kDevice, Category::kParameter, 40 << 20, 40 << 20},
                    {3, Space::kDevice, Category::kActivation, 60 << 20, 64 << 20}};
  return summary;
}

inline std::vector<RunSummary> sample_runs() {
  return {sample_run(1, "zero-2", false), sample_run(2, "zero-2", true), sample_run(3, "zero-3", false)};
}

}  // namespace shardscope::gui
