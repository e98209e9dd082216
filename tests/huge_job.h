#pragma once
// A job that no test could lower as a whole: 16,384 GPUs at 32 replicas, 512 micro-batches.

#include "core/spec/job.h"

namespace shardscope {

/// GPT-3's width; 128 layers, so that each of 64 stages has two.
inline Job gpt3_job(int replicas) {
  Job job;
  job.model = parse_model(R"({"model_type": "gpt2", "vocab_size": 51200, "n_embd": 12288, "n_layer": 128, "n_head": 96,
                              "n_positions": 2048})",
                          "gpt3-128");
  job.parallel = {.dp = replicas, .tp = 8, .pp = 64, .partition = Partition::kUniform};
  job.data.seq_len = 2048;
  TrainingSpec& t = job.training;
  t.micro_batch = 1;
  t.accumulation = 512;
  t.train_batch_size = t.accumulation * job.parallel.dp;
  t.gradient_clipping = 1;
  t.precision.kind = Precision::kBf16;
  t.precision.grad_accum_dtype = "fp32";
  t.zero.stage = 1;
  return job;
}

}  // namespace shardscope
