#pragma once
// The options that train, predict and lower share: a job file and what the command line puts in place of its keys.
//
//   add_job_options(*command, options->job);   ...   Job job = load_job(options.job.file, options.job.overrides);

#include <CLI/CLI.hpp>
#include <string>

#include "core/spec/job.h"

namespace shardscope::cli {

struct JobOptions {
  std::string file;  ///< empty: everything from flags and defaults
  JobOverrides overrides;
};

/// JOB.json --model --deepspeed --ranks --stage --zero-mode --recompute --data --tokenizer --seq --micro-batch
/// --accumulation --steps --seed --launcher --hang-timeout --machine --cluster --profile
void add_job_options(CLI::App& command, JobOptions& options);

}  // namespace shardscope::cli
