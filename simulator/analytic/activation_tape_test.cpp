#include "simulator/analytic/activation_tape.h"

#include <gtest/gtest.h>

#include "core/program/lower.h"
#include "core/spec/model_catalog.h"

namespace shardscope {
namespace {

Workload small_llama() {
  Workload w;
  ModelSpec& m = w.model;
  m.family = ModelFamily::kLlama, m.norm = NormKind::kRmsNorm, m.mlp = MlpKind::kSwiGlu;
  m.positions = PositionKind::kRope;
  m.qkv_bias = m.attention_out_bias = m.mlp_bias = false;
  m.vocab_size = 1024, m.hidden = m.embedding_dim = 256, m.layers = 6, m.heads = m.kv_heads = 4, m.head_dim = 64;
  m.intermediate = 768, m.max_positions = w.seq = 128;
  return w;
}

std::int64_t activations_at_peak(const Workload& w, int layers, std::int64_t micro_batch) {
  Job job;
  job.model = w.model, job.model.layers = layers;
  job.data.seq_len = w.seq;
  job.training.precision.kind = Precision::kBf16;
  job.training.micro_batch = job.training.train_batch_size = micro_batch, job.training.accumulation = 1;
  const MemoryPeak peak = compute_memory_peak(lower(job, 0));
  return peak.at_peak.bytes[static_cast<std::size_t>(Space::kDevice)][static_cast<std::size_t>(Category::kActivation)];
}

TEST(ActivationTape, ABlockMoreKeepsWhatItsForwardLeaves) {
  const Workload w = small_llama();
  for (const std::int64_t micro_batch : {1, 2, 6}) {
    const auto tapes = read_tapes(w, {.micro_batch = micro_batch}, false);
    ASSERT_TRUE(tapes.has_value());
    const auto more = activations_at_peak(w, 5, micro_batch) - activations_at_peak(w, 4, micro_batch);
    EXPECT_DOUBLE_EQ(tapes->dense.forward.net, static_cast<double>(more)) << micro_batch;
    EXPECT_GT(tapes->head.forward.net, static_cast<double>(micro_batch * w.seq * w.model.vocab_size * 2));
  }
}

TEST(ActivationTape, BackwardGivesBackWhatForwardLeftInOneGoAndInHalves) {
  const Workload w = small_llama();
  for (const Recompute recompute : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
    for (const int tp : {1, 2}) {
      const auto tapes = read_tapes(w, {.micro_batch = 2, .tp = tp, .sp = tp > 1, .recompute = recompute}, true);
      ASSERT_TRUE(tapes.has_value());
      const PartTapes& block = tapes->dense;
      EXPECT_DOUBLE_EQ(block.backward.net, -block.forward.net);
      EXPECT_DOUBLE_EQ(block.input.net + block.weight.net, block.backward.net);
      for (const Tape* tape : {&block.forward, &block.backward, &block.input}) {
        ASSERT_GT(tape->count, 0);
        EXPECT_GT(tape->peaks[0].bytes, 0);
        for (int i = 1; i < tape->count; ++i) {
          const auto at = static_cast<std::size_t>(i);
          EXPECT_LE(tape->peaks[at].bytes, tape->peaks[at - 1].bytes);
          EXPECT_GE(tape->peaks[at].gradients, tape->peaks[at - 1].gradients);
        }
      }
      EXPECT_EQ(block.backward.peaks[0].again > 0, recompute != Recompute::kNone);
    }
  }
}

TEST(ActivationTape, ModelsWithoutProgramsHaveNone) {
  Workload w = small_llama();
  w.model.family = ModelFamily::kDeepseekV2;
  EXPECT_FALSE(read_tapes(w, {}, false).has_value());
}

}  // namespace
}  // namespace shardscope
