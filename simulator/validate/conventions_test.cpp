#include "simulator/validate/conventions.h"

#include <gmock/gmock.h>

namespace shardscope {
namespace {

/// 2 blocks of hidden 4, 2 heads, MLP of 16, no bias, untied vocabulary of 10. By hand: a block has 4 * 16 + 2 * 64
/// = 192 weights in products (norms of 4 each: two), the head 40, the table 40.
ModelSpec tiny() {
  return {.family = ModelFamily::kLlama,
          .vocab_size = 10,
          .hidden = 4,
          .layers = 2,
          .heads = 2,
          .kv_heads = 2,
          .head_dim = 2,
          .intermediate = 16,
          .max_positions = 8,
          .embedding_dim = 4,
          .norm = NormKind::kRmsNorm,
          .mlp = MlpKind::kGeluTanh,
          .positions = PositionKind::kRope,
          .tied_embeddings = false,
          .qkv_bias = false,
          .attention_out_bias = false,
          .mlp_bias = false};
}

constexpr double kBlocks = 2 * (192 + 2 * 4) + 4, kHead = 40, kTable = 40, kAttention = 12 * 2 * 4 * 8;

TEST(Conventions, FlopsOfATokenByHand) {
  const ModelSpec model = tiny();
  ASSERT_EQ(parameter_count(model), kBlocks + kHead + kTable);
  EXPECT_DOUBLE_EQ(flops_per_token(model, 8, {}), 6 * (kBlocks + kHead + kTable) + kAttention);
  EXPECT_DOUBLE_EQ(flops_per_token(model, 8, {.input_embedding = false}), 6 * (kBlocks + kHead) + kAttention);
  EXPECT_DOUBLE_EQ(flops_per_token(model, 8, {.input_embedding = false, .causal_halved = true}),
                   6 * (kBlocks + kHead) + kAttention / 2);
  EXPECT_DOUBLE_EQ(flops_per_token(model, 8, {.input_embedding = false, .recompute_counted = true}),
                   8 * kBlocks + kAttention * 4 / 3 + 6 * kHead);
}

TEST(Conventions, OfDeepSpeedsPostByItsOwnFormula) {
  // 96 B s l h^2 (1 + s / 6h + V / 16lh) per token of GPT-175B: ours counts norms and biases as well, 0.01 %.
  ModelSpec model{.vocab_size = 50257,
                  .hidden = 12288,
                  .layers = 96,
                  .heads = 96,
                  .kv_heads = 96,
                  .head_dim = 128,
                  .intermediate = 49152,
                  .max_positions = 512,
                  .embedding_dim = 12288};
  const double l = 96, h = 12288, s = 512, v = 50257;
  const double theirs = 96 * l * h * h * (1 + s / (6 * h) + v / (16 * l * h));
  EXPECT_NEAR(flops_per_token(model, 512, {.input_embedding = false, .recompute_counted = true}) / theirs, 1, 3e-4);
}

TEST(Conventions, EveryQuantityBecomesSeconds) {
  const Workload workload{.model = tiny(), .seq = 8};
  GpuSpec gpu;
  gpu.peak[static_cast<std::size_t>(Arithmetic::kBf16)] = FlopPerSecond(4e12);
  const Plan plan{.gpus = 2, .global_batch = 16};  // 64 tokens per GPU
  PublishedRun run{.framework = "nanotron"};
  const auto seconds = [&] { return published_step_time(run, workload, gpu, plan); };
  EXPECT_EQ(seconds(), std::nullopt);
  const double flops = 6 * (kBlocks + kHead + kTable) + kAttention;
  run.mfu_pct = 25;
  EXPECT_DOUBLE_EQ(*seconds(), 64 * flops / 1e12);
  run.tflops_per_gpu = 2;
  EXPECT_DOUBLE_EQ(*seconds(), 64 * flops / 2e12);
  run.framework = "Megatron-LM";
  EXPECT_DOUBLE_EQ(*seconds(), 64 * (flops - 6 * kTable) / 2e12);
  run.tokens_per_s_per_gpu = 16;
  EXPECT_DOUBLE_EQ(*seconds(), 4);
  run.step_time_s = 3;
  EXPECT_DOUBLE_EQ(*seconds(), 3);
}

TEST(Conventions, TheRowsNotesComeFirst) {
  EXPECT_TRUE(convention_of({.framework = "Megatron-Bridge/Megatron-Core"}).causal_halved);
  EXPECT_FALSE(convention_of({.framework = "NeMo/Megatron-Core"}).input_embedding);
  EXPECT_TRUE(convention_of({.framework = "Megatron-LM", .notes = "MFU counts 6N"}).input_embedding);
  EXPECT_TRUE(convention_of({.framework = "Megatron-DeepSpeed ZeRO-3"}).input_embedding);
  EXPECT_TRUE(
      convention_of({.framework = "x", .notes = "96*B*s*l*h^2 formula (counts full recompute)"}).recompute_counted);
}

TEST(Conventions, MemoryMeansWhatTheClauseAboutItSays) {
  EXPECT_EQ(memory_kind_of({.notes = "Q=A; memory = max_memory_allocated over ranks (GiB), max reserved 48 GiB"}),
            MemoryKind::kAllocated);
  EXPECT_EQ(memory_kind_of({.notes = "memory = peak reserved; allocated 3"}), MemoryKind::kReserved);
  EXPECT_EQ(memory_kind_of({.notes = "mem = nvidia-smi used"}), MemoryKind::kUsed);
  EXPECT_EQ(memory_kind_of({.notes = "nothing about it"}), MemoryKind::kReserved);
  Estimate estimate;
  estimate.allocated = 2.0 * (1 << 30), estimate.reserved = 3.0 * (1 << 30), estimate.used = 4.0 * (1 << 30);
  EXPECT_DOUBLE_EQ(predicted_gib(estimate, MemoryKind::kAllocated), 2);
  EXPECT_DOUBLE_EQ(predicted_gib(estimate, MemoryKind::kReserved), 3);
  EXPECT_DOUBLE_EQ(predicted_gib(estimate, MemoryKind::kUsed), 4);
}

}  // namespace
}  // namespace shardscope
