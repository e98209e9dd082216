#include "simulator/analytic/stages.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/program/partition.h"

namespace shardscope {
namespace {

/// 3 dense blocks, then every second one has experts: D D D E D E D E D E D E.
ModelSpec mixed_model() {
  ModelSpec m;
  m.layers = 12, m.hidden = 64, m.vocab_size = 128, m.heads = 4, m.head_dim = 16, m.intermediate = 128;
  m.experts = 8, m.experts_per_token = 2, m.dense_intermediate = 256;
  m.dense_layers = 3, m.moe_every = 2;
  return m;
}

const FrameworkSpec& named(const char* name) { return find_framework(default_frameworks(), name); }

TEST(StageMaker, CountsTheMixturesThatStandInEachStage) {
  const ModelSpec m = mixed_model();
  StageMaker maker(m, named("megatron"), 128);
  const std::vector<StageKind> stages = maker.of({.gpus = 4, .pp = 4});
  ASSERT_EQ(stages.size(), 3U);
  double mixture = 0, dense = 0;
  for (const StageKind& kind : stages)
    mixture += kind.count * kind.stage.mixture, dense += kind.count * kind.stage.dense;
  EXPECT_EQ(mixture, static_cast<double>(expert_blocks(m)));
  EXPECT_EQ(dense, static_cast<double>(m.layers - expert_blocks(m)));
  double first = 0, last = 0;
  for (int block = 0; block < 3; ++block)
    first += has_experts(m, block) ? 1 : 0, last += has_experts(m, 9 + block) ? 1 : 0;
  EXPECT_EQ(stages.front().stage.mixture, first);
  EXPECT_EQ(stages.back().stage.mixture, last);
  EXPECT_TRUE(stages.front().stage.first && !stages.front().stage.last);
  EXPECT_TRUE(stages.back().stage.last && !stages.back().stage.first);
}

TEST(StageMaker, LeadingDenseBlocksMayReachIntoTheSecondStage) {
  ModelSpec m = mixed_model();
  m.dense_layers = 5, m.moe_every = 1;
  StageMaker maker(m, named("megatron"), 128);
  const std::vector<StageKind> stages = maker.of({.gpus = 4, .pp = 4});
  EXPECT_EQ(stages.front().stage.mixture, 0);
  EXPECT_EQ(stages[1].count * stages[1].stage.mixture, 4);  // blocks 5 to 8
  EXPECT_EQ(stages.back().stage.mixture, 3);
}

TEST(StageMaker, OurEngineHasTheStagesOfItsPrograms) {
  ModelSpec m = mixed_model();
  m.experts = 0, m.vocab_size = 64 * 128;  // a head worth several blocks
  StageMaker maker(m, named("shardscope"), 128);
  const std::vector<int> first = partition_layers(m, Partition::kBalanced, 4, 128);
  std::vector<double> blocks;
  for (const StageKind& kind : maker.of({.gpus = 4, .pp = 4})) {
    for (int i = 0; i < kind.count; ++i) blocks.push_back(kind.stage.blocks());
  }
  ASSERT_EQ(blocks.size(), 4U);
  EXPECT_NE(first[1] - first[0], first[4] - first[3]);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(blocks[i], first[i + 1] - first[i]);
}

/// Its build_model deals blocks and head by their parameters: a 1.3B of 16 blocks whose head is worth four.
TEST(StageMaker, NanotronsFirstStagesTakeTheBlockThatCrossesTheirPart) {
  ModelSpec m;
  m.layers = 16, m.hidden = 2048, m.vocab_size = 131072, m.heads = 32, m.head_dim = 64, m.intermediate = 8192;
  StageMaker maker(m, named("nanotron"), 4096);
  const auto of = [&](int pp) {
    std::vector<std::string> stages;
    for (const StageKind& kind : maker.of({.gpus = pp, .pp = pp})) {
      stages.push_back(fmt::format("{} x {}{}", kind.count, kind.stage.blocks(), kind.stage.last ? " head" : ""));
    }
    return stages;
  };
  using List = std::vector<std::string>;
  EXPECT_EQ(of(1), List({"1 x 16 head"}));
  EXPECT_EQ(of(2), List({"1 x 11", "1 x 5 head"}));
  EXPECT_EQ(of(4), List({"1 x 6", "2 x 5", "1 x 0 head"}));
  // 3 3 2 3 2 3, the head alone, and a rank that only casts logits.
  EXPECT_EQ(of(8), List({"1 x 3", "3 x 3", "2 x 2", "1 x 0 head", "1 x 0"}));
}

}  // namespace
}  // namespace shardscope
