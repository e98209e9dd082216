#pragma once
// A straight line through points of which some are wrong: Huber's estimate by iteratively reweighted least squares.
//
//   const RobustLine line = fit_robust_line(points);   // y over x
//   line.at(3.5), line.tamed(point)

#include <vector>

namespace shardscope {

struct LinePoint {
  double x = 0, y = 0;
  double weight = 1;  ///< how much it counts, > 0
};

struct RobustLine {
  double centre = 0, value = 0, slope = 0;  ///< y = value + slope (x - centre)
  double scale = 0;                         ///< of the residuals: 1.4826 x their median size, and at least kLeastScale
  double low = 0, high = 0;                 ///< of the points' x: outside the line is held

  double at(double x) const;
  /// The point's y, or where it lies farther than kHuber scales from the line, what is that far: what it counts as.
  double tamed(const LinePoint& point) const;
};

/// Huber's constant: 95 % as efficient as least squares where errors are normal (Huber 1964).
inline constexpr double kHuber = 1.345;
/// Differences below this count as none: y are logarithms of times, which repeat to some percent. Guess.
inline constexpr double kLeastScale = 0.05;

/// Fewer than four points, or points less than a factor of 4 apart (x is a natural logarithm): a level, no slope. Not
/// empty.
RobustLine fit_robust_line(const std::vector<LinePoint>& points);

}  // namespace shardscope
