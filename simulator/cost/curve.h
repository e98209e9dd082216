#pragma once
// A measured curve: positive y over positive x, straight lines between points in log-log.
//
//   Curve seconds({{4096, 1e-6}, {65536, 9e-6}});
//   double t = seconds.at(10000);

#include <vector>

namespace shardscope {

struct CurvePoint {
  double x = 0, y = 0;
  friend bool operator==(const CurvePoint&, const CurvePoint&) = default;
};

class Curve {
 public:
  Curve() = default;
  /// Points in any order; x and y positive, x distinct (SS_CHECK).
  explicit Curve(std::vector<CurvePoint> points);

  bool empty() const { return points_.empty(); }
  const std::vector<CurvePoint>& points() const { return points_; }

  /// Interpolated y. Below the first point y is held; above the last it grows in proportion to x (the cost of more of
  /// the same). x <= 0 gives the first y. Must not be empty.
  double at(double x) const;

  friend bool operator==(const Curve&, const Curve&) = default;

 private:
  std::vector<CurvePoint> points_;  ///< by rising x
};

}  // namespace shardscope
