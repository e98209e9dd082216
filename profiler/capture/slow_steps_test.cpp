#include "profiler/capture/slow_steps.h"

#include <gtest/gtest.h>

namespace shardscope::capture {
namespace {

TEST(SlowSteps, KeepsThoseThatTakeLongerThanUsual) {
  SlowSteps slow(20);
  for (int i = 0; i < 20; ++i) slow.add(i * 1000, i * 1000 + (i == 12 ? 800 : i == 15 ? 600 : 500));
  EXPECT_EQ(slow.steps(), 20);
  EXPECT_EQ(slow.kept(), 1) << "exactly 20 % is not more";
  EXPECT_EQ(slow.fate(12'100), Fate::kKeep);
  EXPECT_EQ(slow.fate(12'800), Fate::kKeep);
  EXPECT_EQ(slow.fate(11'900), Fate::kKeep) << "what led to it";
  EXPECT_EQ(slow.fate(11'400), Fate::kDrop);
  EXPECT_EQ(slow.fate(12'801), Fate::kDrop);
  EXPECT_EQ(slow.fate(19'501), Fate::kWait);
}

TEST(SlowSteps, KnowsNothingOfTheFirstOnes) {
  SlowSteps slow(0);
  EXPECT_EQ(slow.fate(0), Fate::kWait);
  for (int i = 0; i < 8; ++i) slow.add(i * 10, i * 10 + i);
  EXPECT_EQ(slow.kept(), 0);
  slow.add(80, 89);
  EXPECT_EQ(slow.kept(), 1);
  slow.add(50, 40);  // time that goes back is no step
  EXPECT_EQ(slow.steps(), 9);
}

TEST(SlowSteps, WhatIsUsualFollowsTheRun) {
  SlowSteps slow(10);
  std::int64_t at = 0;
  const auto steps = [&](int count, std::int64_t duration) {
    for (int i = 0; i < count; ++i) slow.add(at, at + duration), at += duration;
  };
  steps(32, 100);
  steps(16, 200);
  EXPECT_EQ(slow.kept(), 16);
  steps(20, 200);
  EXPECT_EQ(slow.kept(), 16) << "by then they are usual";
}

}  // namespace
}  // namespace shardscope::capture
