#include "simulator/cost/curve.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace shardscope {

Curve::Curve(std::vector<CurvePoint> points) : points_(std::move(points)) {
  std::sort(points_.begin(), points_.end(), [](const CurvePoint& a, const CurvePoint& b) { return a.x < b.x; });
  for (std::size_t i = 0; i < points_.size(); ++i) {
    SS_CHECK(points_[i].x > 0 && points_[i].y > 0, points_[i].x, points_[i].y);
    SS_CHECK(i == 0 || points_[i - 1].x < points_[i].x, points_[i].x);
  }
}

double Curve::at(double x) const {
  SS_CHECK(!points_.empty());
  const CurvePoint& first = points_.front();
  const CurvePoint& last = points_.back();
  if (x <= first.x) return first.y;
  if (x >= last.x) return last.y * (x / last.x);
  const auto above = std::upper_bound(points_.begin(), points_.end(), x,
                                      [](double value, const CurvePoint& point) { return value < point.x; });
  const CurvePoint& a = *(above - 1);
  const CurvePoint& b = *above;
  const double part = std::log(x / a.x) / std::log(b.x / a.x);
  return a.y * std::pow(b.y / a.y, part);
}

}  // namespace shardscope
