#include "simulator/analytic/engine_pipeline.h"

#include <gtest/gtest.h>

namespace shardscope {
namespace {

double length_of(const std::vector<WalkedStage>& stages, double micro_batches, const Messages& messages = {}) {
  PipelineWalk walk;
  for (const WalkedStage& stage : stages) walk.add(stage, 1);
  return walk.length(micro_batches, messages);
}

TEST(PipelineWalk, EqualStagesFillAndDrain) {
  for (const std::size_t p : {1U, 2U, 4U, 8U, 9U, 16U}) {  // the last two by the formula
    const std::vector<WalkedStage> stages(p, {.forward = 1, .backward = 2});
    for (const double m : {1.0, 4.0, 16.0, 100.0}) {
      if (m > 1 && m < static_cast<double>(p)) continue;
      EXPECT_DOUBLE_EQ(length_of(stages, m), 3 * (m + static_cast<double>(p) - 1)) << p << " stages, " << m;
    }
  }
}

TEST(PipelineWalk, AFastStageBehindHidesInTheSlowOne) {
  // F0 F0' | B0 waits for F1 B1 of 0.5 each: it is there after 1, when F0' ends.
  EXPECT_DOUBLE_EQ(length_of({{.forward = 1, .backward = 2}, {.forward = 0.5, .backward = 0.5}}, 10), 30);
}

/// Stages of two that wait for memory receive both messages of a micro-batch between their actions.
TEST(PipelineWalk, MessagesShowWhereTheyWaitForMemory) {
  const std::vector<WalkedStage> stages(2, {.forward = 1, .backward = 2});
  const Messages waits{.send = 0.5, .gradients_wait = true};
  EXPECT_DOUBLE_EQ(length_of(stages, 41, waits) - length_of(stages, 40, waits), 3.5);
}

/// A block computed again while its gradient is on the way shortens the way back, not the work.
TEST(PipelineWalk, WhatIsComputedAgainNeedsNoGradient) {
  const std::vector<WalkedStage> late(3, {.forward = 1, .backward = 3}),
      soon(3, {.forward = 1, .backward = 3, .early = 1});
  EXPECT_DOUBLE_EQ(length_of(late, 1), 12);
  EXPECT_DOUBLE_EQ(length_of(soon, 1), 10);
  EXPECT_DOUBLE_EQ(length_of(soon, 31) - length_of(soon, 30), 4);
}

TEST(PipelineWalk, LongSchedulesGoOnAsTheyDid) {
  const std::vector<WalkedStage> stages{
      {.forward = 1.3, .backward = 2}, {.forward = 1, .backward = 2.5}, {.forward = 1.1, .backward = 2.9}};
  EXPECT_NEAR(length_of(stages, 60) - length_of(stages, 50), length_of(stages, 50) - length_of(stages, 40), 1e-9);
}

}  // namespace
}  // namespace shardscope
