#include <gtest/gtest.h>

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
