#pragma once
// What --checkpoint, --resume and --weights add to a training run, and their options.
//
//   TrainCheckpoints checkpoints(job, programs, ranks);   // opens what the run starts from, before any memory is taken
//   checkpoints.attach(options);   train(...);   checkpoints.problem();

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/ranks.h"
#include "core/engine/checkpoint/checkpointer.h"
#include "core/engine/checkpoint/resume.h"
#include "core/engine/trainer.h"

namespace shardscope::cli {

/// --checkpoint --checkpoint-every --checkpoint-keep --resume --weights
void add_checkpoint_options(CLI::App& command, JobOverrides& overrides);

class TrainCheckpoints {
 public:
  /// Throws what find_resume_point() and Checkpointer throw. `job` and `programs` must outlive it.
  TrainCheckpoints(const Job& job, const std::vector<Program>& programs, const Ranks& ranks);
  void attach(TrainOptions& options);

  std::int64_t first_step() const { return start_ ? start_->position.steps : 0; }
  std::string start_line() const;     ///< what the run starts from, for people; empty: from random weights
  std::string problem() const;        ///< after the run; empty: all went well
  std::string summary() const;        ///< where the state is now; empty: no checkpoints were asked for
  std::string last_complete() const;  ///< path; empty: none

 private:
  const Job& job_;
  void open_weights();

  std::optional<ResumePoint> start_;
  std::function<std::unique_ptr<StateSource>()> open_weights_;
  std::unique_ptr<Checkpointer> checkpoints_;
};

}  // namespace shardscope::cli
