#include "simulator/planner/plan_text.h"

#include <gtest/gtest.h>

namespace shardscope {
namespace {

TEST(PlanText, NumbersHaveNoExponents) {
  EXPECT_EQ(format_amount(54512.3), "54512");
  EXPECT_EQ(format_amount(1020.4), "1020");
  EXPECT_EQ(format_amount(53.64), "53.6");
  EXPECT_EQ(format_tokens(15e12), "15 T");
  EXPECT_EQ(format_tokens(1.4e12), "1.4 T");
  EXPECT_EQ(format_tokens(300e9), "300 B");
  EXPECT_EQ(format_tokens(2e6), "2 M");
}

TEST(PlanText, WhatIsOneIsLeftOut) {
  EXPECT_EQ(layout_text({.gpus = 64, .dp = 8, .tp = 4, .pp = 2, .vpp = 3, .sp = true}), "dp 8 tp 4+sp pp 2x3");
  EXPECT_EQ(layout_text({.gpus = 8, .dp = 2, .cp = 2, .ulysses = 2}), "dp 2 cp 2 ulysses 2");
}

}  // namespace
}  // namespace shardscope
