#include "simulator/calibrate/robust_line.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace shardscope {

namespace {

constexpr int kIterations = 50;
constexpr double kSettled = 1e-9, kLeastSpread = 1.386;  // ln 4

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double scale_of(const RobustLine& line, const std::vector<LinePoint>& points) {
  std::vector<double> sizes;
  for (const LinePoint& p : points) sizes.push_back(std::abs(p.y - line.at(p.x)));
  return std::max(kLeastScale, 1.4826 * median(sizes));
}

// Weighted least squares with the weights that the line of the round before gives.
void fit_again(RobustLine& line, const std::vector<LinePoint>& points, bool sloped) {
  const auto rows = static_cast<Eigen::Index>(points.size());
  Eigen::MatrixXd columns(rows, sloped ? 2 : 1);
  Eigen::VectorXd wanted(rows);
  for (Eigen::Index i = 0; i < rows; ++i) {
    const LinePoint& p = points[static_cast<std::size_t>(i)];
    const double off = std::abs(p.y - line.at(p.x)) / line.scale;
    const double root = std::sqrt(p.weight * (off > kHuber ? kHuber / off : 1));
    columns(i, 0) = root;
    if (sloped) columns(i, 1) = root * (p.x - line.centre);
    wanted(i) = root * p.y;
  }
  const Eigen::VectorXd solution = columns.completeOrthogonalDecomposition().solve(wanted);
  line.value = solution(0);
  if (sloped) line.slope = solution(1);
}

}  // namespace

double RobustLine::at(double x) const { return value + slope * (std::clamp(x, low, high) - centre); }

double RobustLine::tamed(const LinePoint& point) const {
  const double expected = at(point.x);
  return expected + std::clamp(point.y - expected, -kHuber * scale, kHuber * scale);
}

RobustLine fit_robust_line(const std::vector<LinePoint>& points) {
  SS_CHECK(!points.empty());
  std::vector<double> xs, ys;
  for (const LinePoint& p : points) {
    SS_CHECK(p.weight > 0 && std::isfinite(p.x) && std::isfinite(p.y), p.x, p.y);
    xs.push_back(p.x);
    ys.push_back(p.y);
  }
  const auto [low, high] = std::minmax_element(xs.begin(), xs.end());
  RobustLine line{median(xs), median(ys), 0, 0, *low, *high};
  const bool sloped = points.size() >= 4 && line.high - line.low >= kLeastSpread;
  for (int i = 0; i < kIterations; ++i) {
    line.scale = scale_of(line, points);
    const RobustLine before = line;
    fit_again(line, points, sloped);
    if (std::abs(line.value - before.value) + std::abs(line.slope - before.slope) < kSettled) break;
  }
  line.scale = scale_of(line, points);
  return line;
}

}  // namespace shardscope
