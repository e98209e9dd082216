#include "core/engine/sequence_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace shardscope {
namespace {

using testing::ElementsAre;

/// What a step would read.
struct Step {
  Tokens tokens, starts, counts;
  Step(const SequenceBatch& batch, std::size_t rows, std::size_t seq)
      : tokens(rows * seq, -1), starts(rows, -1), counts(rows, -1) {
    batch.fill(tokens, starts, counts);
  }
};

TEST(SequenceBatch, TheFirstStepReadsPromptsPaddedToTheLongest) {
  const std::vector<Tokens> prompts = {{5, 6, 7}, {8}};
  const Step step(SequenceBatch(prompts, {.new_tokens = 3}), 2, 3);
  EXPECT_THAT(step.tokens, ElementsAre(5, 6, 7, 8, 0, 0));
  EXPECT_THAT(step.starts, ElementsAre(0, 0));
  EXPECT_THAT(step.counts, ElementsAre(3, 1));
}

TEST(SequenceBatch, LaterStepsReadTheLastTokenAtItsPlace) {
  const std::vector<Tokens> prompts = {{5, 6, 7}, {8}};
  SequenceBatch batch(prompts, {.new_tokens = 3});
  batch.append(Tokens{1, 2}, std::vector<float>{-0.5F, -1});
  batch.append(Tokens{3, 4}, std::vector<float>{-2, -3});
  const Step step(batch, 2, 1);
  EXPECT_THAT(step.tokens, ElementsAre(3, 4));
  EXPECT_THAT(step.starts, ElementsAre(4, 2));
  EXPECT_THAT(step.counts, ElementsAre(1, 1));
  EXPECT_FALSE(batch.finished());
  EXPECT_THAT(batch.continuations()[1].logprobs, ElementsAre(-1, -3));
}

TEST(SequenceBatch, AFinishedSequenceGetsNothingMoreAndStaysWithinItsPlaces) {
  const std::vector<Tokens> prompts = {{5}, {8, 9}};
  SequenceBatch batch(prompts, {.new_tokens = 3, .end_token = 2});
  batch.append(Tokens{2, 1}, std::vector<float>{0, 0});
  EXPECT_TRUE(batch.finished(0));
  EXPECT_FALSE(batch.finished(1));
  batch.append(Tokens{7, 2}, std::vector<float>{0, 0});
  EXPECT_TRUE(batch.finished());
  EXPECT_THAT(batch.continuations()[0].tokens, ElementsAre(2));
  EXPECT_TRUE(batch.continuations()[1].ended);
  EXPECT_THAT(Step(batch, 2, 1).starts, ElementsAre(0, 2));
}

TEST(SequenceBatch, EndsAfterAsManyTokensAsAllowed) {
  const std::vector<Tokens> prompts = {{5}};
  SequenceBatch batch(prompts, {.new_tokens = 2});
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(batch.finished());
    batch.append(Tokens{1}, std::vector<float>{0});
  }
  EXPECT_TRUE(batch.finished());
  EXPECT_FALSE(batch.continuations()[0].ended);
}

}  // namespace
}  // namespace shardscope
