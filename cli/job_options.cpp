#include "cli/job_options.h"

namespace shardscope::cli {

void add_job_options(CLI::App& command, JobOptions& options) {
  JobOverrides& o = options.overrides;
  command.add_option("job", options.file, "Job file (docs/job.md); flags below replace its keys")
      ->type_name("JOB.json");
  command
      .add_option("--model", o.model,
                  "A name that `shardscope models` lists, or a Hugging Face config.json or its folder")
      ->type_name("MODEL");
  command.add_option("--deepspeed", o.deepspeed, "DeepSpeed's ds_config.json")->type_name("PATH");
  command.add_option("--ranks", o.ranks, "Number of ranks (data-parallel size follows)");
  command.add_option("--stage", o.stage, "zero_optimization.stage: 0, 1, 2 or 3");
  command.add_option("--zero-mode", o.zero_mode,
                     "textbook (as our engine does it) or deepspeed (as DeepSpeed does it)");
  command.add_option("--recompute", o.recompute,
                     "none, selective or full; full/2 keeps the input of every second block");
  command.add_option("--data", o.data, "A text file or a directory of them")->type_name("PATH");
  command.add_option("--tokenizer", o.tokenizer, "SentencePiece model; without it tokens are bytes")->type_name("PATH");
  command.add_option("--seq", o.seq_len, "Sequence length, tokens");
  command.add_option("--micro-batch", o.micro_batch, "Sequences per rank and micro-batch");
  command.add_option("--accumulation", o.accumulation, "Micro-batches per step");
  command.add_option("--steps", o.steps, "Training steps");
  command.add_option("--seed", o.seed, "Seed of initial weights and data order");
  command.add_option("--launcher", o.launcher,
                     "auto (as this process was started), threads, or mpi (ranks are processes; docs/launch.md)");
  command
      .add_option("--hang-timeout", o.hang_timeout_s,
                  "Seconds after which a rank that does not get on ends the run (default 30); 0: never")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--machine", o.machine, "Machine file written by 'shardscope calibrate'")->type_name("PATH");
  command
      .add_option("--cluster", o.cluster,
                  "SYSTEM:GPUS of the catalog ('shardscope hardware'), such as dgx-h100:32, or a file")
      ->type_name("CLUSTER");
  command.add_option("--profile", o.profile, "Profile to write, or to add to")->type_name("RUN.db");
}

}  // namespace shardscope::cli
