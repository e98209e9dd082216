#include "core/program/partition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace shardscope {
namespace {

using testing::ElementsAre;

ModelSpec model(std::int64_t vocab) {
  return parse_model(
      "{\"model_type\": \"gpt2\", \"n_embd\": 8, \"n_layer\": 8, \"n_head\": 2, \"n_positions\": 8, "
      "\"vocab_size\": " +
          std::to_string(vocab) + "}",
      "test model");
}

TEST(Partition, UniformCountsBlocks) {
  EXPECT_THAT(partition_layers(model(100000), Partition::kUniform, 4, 8), ElementsAre(0, 2, 4, 6, 8));
  EXPECT_THAT(partition_layers(model(8), Partition::kUniform, 1, 8), ElementsAre(0, 8));
}

TEST(Partition, ParametersAndBalancedGiveTheEndsFewerBlocks) {
  // a block has 12 h^2 + 13 h = 872 parameters; a table of 218 rows of 8 is as large as two blocks
  EXPECT_THAT(partition_layers(model(218), Partition::kParameters, 4, 8), ElementsAre(0, 1, 4, 7, 8));
  const std::vector<int> balanced = partition_layers(model(436), Partition::kBalanced, 4, 8);
  EXPECT_EQ(balanced.back() - balanced[3], 1) << "the head is the last stage's work";
  EXPECT_GE(balanced[1], 2) << "embeddings are a look-up, no work";
}

TEST(Partition, RefusesMoreStagesThanBlocks) {
  EXPECT_THROW(partition_layers(model(8), Partition::kBalanced, 9, 8), Error);
}

}  // namespace
}  // namespace shardscope
