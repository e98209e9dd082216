#include "simulator/calibrate/robust_line.h"

#include <gtest/gtest.h>

namespace shardscope {
namespace {

std::vector<LinePoint> on_a_line(int count) {
  std::vector<LinePoint> points;
  for (int i = 0; i < count; ++i) points.push_back({double(i), 2 + 0.5 * i});
  return points;
}

TEST(RobustLine, FindsALineThroughAFifthOfOutliers) {
  std::vector<LinePoint> points = on_a_line(15);
  for (const int wrong : {2, 8, 14}) points[static_cast<std::size_t>(wrong)].y += 20;
  const RobustLine line = fit_robust_line(points);
  EXPECT_NEAR(line.slope, 0.5, 0.02);
  EXPECT_NEAR(line.at(7), 5.5, 0.1);
  EXPECT_NEAR(line.tamed(points[8]), 6.0, 0.2);   // an outlier counts as what is just beyond the line
  EXPECT_NEAR(line.tamed(points[5]), 4.5, 1e-9);  // the others as they are
}

TEST(RobustLine, IsHeldOutsideItsPoints) {
  const RobustLine line = fit_robust_line(on_a_line(6));
  EXPECT_NEAR(line.at(100), 4.5, 1e-6);
  EXPECT_NEAR(line.at(-100), 2, 1e-6);
}

TEST(RobustLine, FewOrNearPointsGiveALevel) {
  EXPECT_EQ(fit_robust_line(on_a_line(3)).slope, 0);
  const RobustLine near = fit_robust_line({{1, 0.1}, {1.1, 0.1}, {1.2, 0.1}, {1.3, 9}});
  EXPECT_EQ(near.slope, 0);
  EXPECT_NEAR(near.at(5), 0.1, 0.05);
}

TEST(RobustLine, WeightsCount) { EXPECT_NEAR(fit_robust_line({{0, 1, 1}, {0, 1.02, 99}}).at(0), 1.02, 1e-3); }

}  // namespace
}  // namespace shardscope
