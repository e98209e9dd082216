#include "core/engine/lr_schedule.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"

namespace shardscope {
namespace {

ScheduleSpec warmup(ScheduleKind kind, bool log) {
  ScheduleSpec s;
  s.kind = kind;
  s.warmup_min_lr = 0.1;
  s.warmup_max_lr = 1.1;
  s.warmup_num_steps = 4;
  s.warmup_log = log;
  s.total_num_steps = 10;
  return s;
}

TEST(LrSchedule, ConstantIsTheOptimizersOwn) {
  EXPECT_EQ(learning_rate({}, 3e-4, 0), 3e-4);
  EXPECT_EQ(learning_rate({}, 3e-4, 12345), 3e-4);
}

TEST(LrSchedule, LinearWarmupThenFlat) {
  const ScheduleSpec s = warmup(ScheduleKind::kWarmupLR, false);
  const double expected[] = {0.1, 0.1, 0.35, 0.6, 0.85, 1.1, 1.1};  // iterations -1, 0, 1, 2, 3, 4, 5 over W = 4
  for (int n = 0; n < 7; ++n) EXPECT_NEAR(learning_rate(s, 7, n), expected[n], 1e-15) << n;
}

TEST(LrSchedule, LogWarmupIsLogOfIterationPlusOneOverLogOfSteps) {
  const ScheduleSpec s = warmup(ScheduleKind::kWarmupLR, true);
  EXPECT_NEAR(learning_rate(s, 7, 0), 0.1, 1e-15);
  EXPECT_NEAR(learning_rate(s, 7, 1), 0.1, 1e-15);                       // ln 1 = 0
  EXPECT_NEAR(learning_rate(s, 7, 2), 0.1 + 0.5, 1e-15);                 // ln 2 / ln 4
  EXPECT_NEAR(learning_rate(s, 7, 3), 0.1 + 0.7924812503605781, 1e-15);  // ln 3 / ln 4
  EXPECT_NEAR(learning_rate(s, 7, 4), 1.1, 1e-15);                       // ln 4 / ln 4
  EXPECT_NEAR(learning_rate(s, 7, 400), 1.1, 1e-15);
}

TEST(LrSchedule, WarmupOfOneStepCountsAsTwo) {
  ScheduleSpec s = warmup(ScheduleKind::kWarmupLR, false);
  s.warmup_num_steps = 1;
  EXPECT_NEAR(learning_rate(s, 7, 2), 0.6, 1e-15);
  EXPECT_NEAR(learning_rate(s, 7, 3), 1.1, 1e-15);
}

TEST(LrSchedule, DecayFallsLinearlyToTheMinimumAndStays) {
  const ScheduleSpec s = warmup(ScheduleKind::kWarmupDecayLR, false);
  EXPECT_NEAR(learning_rate(s, 7, 4), 0.85, 1e-15);  // iteration 3, still warming up
  EXPECT_NEAR(learning_rate(s, 7, 5), 1.1, 1e-15);   // iteration 4: (10 - 4) / 6
  EXPECT_NEAR(learning_rate(s, 7, 8), 0.6, 1e-15);   // iteration 7: (10 - 7) / 6
  EXPECT_NEAR(learning_rate(s, 7, 11), 0.1, 1e-15);  // iteration 10
  EXPECT_NEAR(learning_rate(s, 7, 50), 0.1, 1e-15);
}

TEST(LrSchedule, CosineScalesTheOptimizersRate) {
  ScheduleSpec s = warmup(ScheduleKind::kWarmupCosineLR, false);
  s.warmup_min_ratio = 0.2;
  s.cos_min_ratio = 0.1;
  EXPECT_EQ(learning_rate(s, 2, 0), 0);  // not started
  EXPECT_NEAR(learning_rate(s, 2, 1), 2 * 0.2, 1e-15);
  EXPECT_NEAR(learning_rate(s, 2, 3), 2 * (0.2 + 0.8 * 0.5), 1e-15);
  // Iteration 4 is 1/6 of the way: (1 + cos 30 deg) / 2 = 0.9330127018922193.
  EXPECT_NEAR(learning_rate(s, 2, 5), 2 * (0.1 + 0.9 * 0.9330127018922193), 1e-14);
  EXPECT_NEAR(learning_rate(s, 2, 7), 2 * (0.1 + 0.9 * 0.5), 1e-14);  // iteration 6: 3/6, cos 90 deg
  EXPECT_NEAR(learning_rate(s, 2, 10), 2 * 0.1, 1e-14);
  EXPECT_NEAR(learning_rate(s, 2, 99), 2 * 0.1, 1e-14);  // does not swing back up
}

TEST(LrSchedule, OneCycleGoesUpAndDownThenDecays) {
  ScheduleSpec s;
  s.kind = ScheduleKind::kOneCycle;
  s.cycle_min_lr = 1;
  s.cycle_max_lr = 5;
  s.cycle_first_step_size = 4;
  s.cycle_second_step_size = 2;
  s.decay_step_size = 2;
  s.decay_lr_rate = 0.5;
  const double expected[] = {1, 2, 3, 4, 5, 3, 1, 1 / 1.25, 1 / 1.5};
  for (int n = 0; n < 9; ++n) EXPECT_NEAR(learning_rate(s, 7, n), expected[n], 1e-14) << n;
  s.decay_step_size = 0;
  EXPECT_EQ(learning_rate(s, 7, 40), 1);
  s.cycle_second_step_size = -1;  // as long as the first half
  EXPECT_NEAR(learning_rate(s, 7, 6), 3, 1e-14);
}

TEST(LrSchedule, OneCycleWithoutAFirstHalfIsRefused) {
  ScheduleSpec s;
  s.kind = ScheduleKind::kOneCycle;
  s.cycle_first_step_size = 0;
  EXPECT_THROW(learning_rate(s, 1, 1), Error);
}

}  // namespace
}  // namespace shardscope
