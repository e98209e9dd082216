#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core/error.h"
#include "core/program/lower.h"

namespace shardscope {
namespace {

Job make_job(Recompute recompute, bool llama) {
  Job job;
  job.model = llama
                  ? parse_model(R"({"model_type": "llama", "vocab_size": 16, "hidden_size": 32, "num_hidden_layers": 4,
                                      "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64,
                                      "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": false})",
                                "test model")
                  : parse_model(R"({"model_type": "gpt2", "vocab_size": 16, "n_embd": 32, "n_layer": 4, "n_head": 4,
                                      "n_positions": 64})",
                                "test model");
  job.data.seq_len = 64;
  job.training.micro_batch = job.training.accumulation = job.training.train_batch_size = 1;
  job.recompute = recompute;
  return job;
}

std::int64_t activations(const Program& program) {
  return compute_memory_peak(program).peak_by_category.bytes[0][static_cast<std::size_t>(Category::kActivation)];
}

double recompute_flops(const Program& program) {
  double sum = 0;
  for (const Instruction& in : program.instructions) sum += in.label.phase == Phase::kRecompute ? flops(in.op) : 0;
  return sum;
}

double forward_flops(const Program& program) {
  double sum = 0;
  for (const Instruction& in : program.instructions) {
    sum += in.label.phase == Phase::kForward && in.label.layer >= 0 ? flops(in.op) : 0;
  }
  return sum;
}

TEST(Recompute, FullKeepsOneInputABlockAndRunsTheBlockTwice) {
  for (bool llama : {false, true}) {
    const Program none = lower(make_job(Recompute::kNone, llama), 0),
                  full = lower(make_job(Recompute::kFull, llama), 0);
    EXPECT_LT(activations(full), activations(none) / 2);
    EXPECT_EQ(recompute_flops(none), 0);
    // all of the forward but the last matmul and addition of each block, whose result nothing keeps
    EXPECT_GT(recompute_flops(full), 0.6 * forward_flops(none));
    EXPECT_LT(recompute_flops(full), forward_flops(none));
  }
}

/// Activations that stay from a block's forward to its backward: inputs of blocks or groups of them.
int kept_outputs(const Program& program) {
  std::set<BufferId> written, kept;
  for (const Instruction& in : program.instructions) {
    for_each_access(in.op, [&](const char*, const Region& r, Access access) {
      if (program.buffer(r.buffer).category != Category::kActivation) return;
      if (in.label.phase == Phase::kForward && in.label.layer >= 0 && access != Access::kRead) written.insert(r.buffer);
      if (in.label.phase == Phase::kRecompute && written.contains(r.buffer)) kept.insert(r.buffer);
    });
  }
  return static_cast<int>(kept.size());
}

TEST(Recompute, GroupsOfBlocksKeepOneInputAndAreComputedAgainTogether) {
  for (bool llama : {false, true}) {
    Job job = make_job(Recompute::kFull, llama);
    const Program single = lower(job, 0);
    EXPECT_EQ(kept_outputs(single), 3);  // the first block's input comes from the embedding
    job.recompute_every = 2;
    const Program pairs = lower(job, 0);
    EXPECT_EQ(kept_outputs(pairs), 1);
    EXPECT_GT(recompute_flops(pairs), recompute_flops(single));  // the end of a group's first block is needed now
    job.recompute_every = 3;
    EXPECT_EQ(kept_outputs(lower(job, 0)), 1);  // a group of three, and the last block
    job.recompute_every = 100;
    EXPECT_EQ(kept_outputs(lower(job, 0)), 0);
  }
}

TEST(Recompute, GroupsEndWithTheirPipelineStage) {
  Job job = make_job(Recompute::kFull, false);
  job.parallel.pp = 2;
  job.training.accumulation = job.training.train_batch_size = 2;
  job.recompute_every = 100;
  for (int rank : {0, 1}) {
    const Program p = lower(job, rank);
    EXPECT_GT(recompute_flops(p), 0);
    EXPECT_EQ(kept_outputs(p), 0);
  }
}

// ---------------------------------------------------------------- kept inputs on the host

TEST(CheckpointOffload, KeptInputsWaitOnTheHostAndComeBackOneGroupAhead) {
  Job job = make_job(Recompute::kFull, false);
  const Program on_device = lower(job, 0);
  job.training.checkpointing.cpu_checkpointing = true;
  const Program p = lower(job, 0);
  EXPECT_LT(activations(p), activations(on_device));
  const MemoryPeak peak = compute_memory_peak(p);
  const std::int64_t input = 64 * 32 * 4;                                           // tokens, hidden, bytes
  EXPECT_EQ(peak.peak_bytes[static_cast<std::size_t>(Space::kPinned)], 3 * input);  // the last block's own stays
  std::vector<int> layers, next_backward;  // of the copies back, and of the backward under way
  int under_way = -1;
  for (const Instruction& in : p.instructions) {
    if (in.label.phase == Phase::kRecompute && in.lane == Lane::kCompute && !std::holds_alternative<Free>(in.op)) {
      under_way = in.label.layer;
    }
    if (in.lane != Lane::kH2D || !std::holds_alternative<Copy>(in.op)) continue;
    layers.push_back(in.label.layer);
    next_backward.push_back(under_way);
  }
  EXPECT_EQ(layers, (std::vector<int>{2, 1, 0}));
  EXPECT_EQ(next_backward, (std::vector<int>{-1, 3, 2}));  // each just before the way back of the block above it
}

TEST(CheckpointOffload, RefusesWithoutRecomputation) {
  Job job = make_job(Recompute::kNone, false);
  job.training.checkpointing.cpu_checkpointing = true;
  try {
    lower(job, 0);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("say where what recomputation keeps waits"));
  }
}

TEST(Recompute, SelectiveRunsOnlyAttentionAgain) {
  const Program none = lower(make_job(Recompute::kNone, false), 0);
  const Program selective = lower(make_job(Recompute::kSelective, false), 0);
  EXPECT_LT(activations(selective), activations(none));
  int recomputed = 0;
  for (const Instruction& in : selective.instructions) {
    if (in.label.phase != Phase::kRecompute || is_communication(in.op)) continue;
    const bool is_memory = std::holds_alternative<Alloc>(in.op) || std::holds_alternative<Free>(in.op);
    EXPECT_TRUE(is_memory || std::holds_alternative<Attention>(in.op)) << op_name(in.op);
    recomputed += is_memory ? 0 : 1;
  }
  EXPECT_EQ(recomputed, 4);
}

}  // namespace
}  // namespace shardscope
