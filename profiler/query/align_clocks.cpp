#include "profiler/query/align_clocks.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace shardscope {
namespace {

/// What must be added to a rank's clock at `time` is at least (or at most) `value`. ns from the middle of all times.
struct Point {
  double time = 0, value = 0;
};

/// What is known of a rank: a + b * time is not below any of `low`, nor above any of `high`.
struct Bounds {
  std::vector<Point> low, high;
  double middle_ns = 0;  ///< the time from which points count
  double first = 0, last = 0;

  double least_at(double slope) const {
    double most = -INFINITY;
    for (const Point& p : low) most = std::max(most, p.value - slope * p.time);
    return most;
  }
  double most_at(double slope) const {
    double least = INFINITY;
    for (const Point& p : high) least = std::min(least, p.value - slope * p.time);
    return least;
  }
  double gap(double slope) const { return most_at(slope) - least_at(slope); }
};

/// The corners of the points that a line above (sign 1) or below (-1) all of them can touch.
std::vector<Point> hull(std::vector<Point> points, double sign) {
  std::sort(points.begin(), points.end(), [sign](const Point& a, const Point& b) {
    return a.time != b.time ? a.time < b.time : sign * a.value > sign * b.value;
  });
  std::vector<Point> corners;
  for (const Point& p : points) {
    if (!corners.empty() && corners.back().time == p.time) continue;
    while (corners.size() > 1) {
      const Point &a = corners[corners.size() - 2], &b = corners.back();
      if (sign * ((b.value - a.value) * (p.time - a.time) - (p.value - a.value) * (b.time - a.time)) > 0) break;
      corners.pop_back();
    }
    corners.push_back(p);
  }
  return corners;
}

constexpr double kMostSlope = kMostDriftPpm * 1e-6;
constexpr int kHalvings = 100;  // more than a double has bits

/// Where a function without inner minimum (a concave one) is highest.
double highest(const std::function<double(double)>& f, double low, double high) {
  for (int i = 0; i < kHalvings; ++i) {
    const double a = low + (high - low) / 3, b = high - (high - low) / 3;
    (f(a) < f(b) ? low : high) = f(a) < f(b) ? a : b;
  }
  return (low + high) / 2;
}

/// From `inside`, where there is a gap, towards `end`: the last slope with one.
double last_with_gap(const Bounds& bounds, double inside, double end) {
  if (bounds.gap(end) >= 0) return end;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (inside + end) / 2;
    (bounds.gap(middle) >= 0 ? inside : end) = middle;
  }
  return inside;
}

/// The farthest that a line of slope low to high is from that of the answer at `time`.
double farthest(const Bounds& bounds, double offset, double slope, double low, double high, double time) {
  const auto above = [&](double b) { return bounds.most_at(b) + b * time; };
  const auto below = [&](double b) { return -bounds.least_at(b) - b * time; };
  const double at = offset + slope * time;
  return std::max(above(highest(above, low, high)) - at, below(highest(below, low, high)) + at);
}

RankClock fit(int rank, Bounds bounds) {
  RankClock clock{.rank = rank};
  clock.collectives = static_cast<std::int64_t>(bounds.low.size());
  bounds.low = hull(std::move(bounds.low), 1);
  bounds.high = hull(std::move(bounds.high), -1);
  const double best = highest([&](double b) { return bounds.gap(b); }, -kMostSlope, kMostSlope);
  if (const double gap = bounds.gap(best); gap < 0) {
    // Now there is a gap as wide as the contradiction was.
    clock.contradiction_ns = -gap;
    for (Point& p : bounds.low) p.value += gap;
    for (Point& p : bounds.high) p.value -= gap;
  }
  const double low = last_with_gap(bounds, best, -kMostSlope), high = last_with_gap(bounds, best, kMostSlope);
  const double slope = (low + high) / 2, offset = (bounds.least_at(slope) + bounds.most_at(slope)) / 2;
  clock.may_be_same = clock.contradiction_ns == 0 && bounds.least_at(0) <= 0 && bounds.most_at(0) >= 0;
  clock.drift_ppm = slope * 1e6;
  clock.offset_ns = offset - slope * bounds.middle_ns;
  clock.error_ns = std::max(farthest(bounds, offset, slope, low, high, bounds.first),
                            farthest(bounds, offset, slope, low, high, bounds.last));
  return clock;
}

/// The span in which the ranks that are known already were in the collective together: begin of the last, end of the
/// first, by the first rank's clock, as wide as their errors allow.
struct Known {
  double latest_start = -INFINITY, earliest_end = INFINITY;
};

class Aligner {
 public:
  explicit Aligner(const MatchedCollectives& matched) : matched_(matched) {
    for (int rank : matched.ranks) clocks_.push_back({.rank = rank});
    if (!clocks_.empty()) clocks_.front().error_ns = 0;
    if (!clocks_.empty()) clocks_.front().may_be_same = true;
  }

  /// Ranks that share a collective with one that is known become known; until there are none.
  ClockAlignment align() {
    while (extend()) {
    }
    return {std::move(clocks_)};
  }

 private:
  RankClock* clock(int rank) {
    const auto at = std::lower_bound(clocks_.begin(), clocks_.end(), rank,
                                     [](const RankClock& c, int wanted) { return c.rank < wanted; });
    return at != clocks_.end() && at->rank == rank ? &*at : nullptr;
  }

  Known known(const MatchedCollective& call) {
    Known k;
    for (const Arrival& a : call.arrivals) {
      const RankClock* c = clock(a.rank);
      if (c == nullptr || !c->error_ns) continue;
      const auto common = [c](std::int64_t t) {
        return static_cast<double>(t) + c->offset_ns + c->drift_ppm * 1e-6 * static_cast<double>(t);
      };
      k.latest_start = std::max(k.latest_start, common(a.start_ns) - *c->error_ns);
      k.earliest_end = std::min(k.earliest_end, common(a.end_ns) + *c->error_ns);
    }
    return k;
  }

  bool extend() {
    std::vector<Bounds> bounds(clocks_.size());
    for (const MatchedCollective& call : matched_.calls) {
      if (!call.synchronizes) continue;
      const Known k = known(call);
      if (!std::isfinite(k.latest_start)) continue;
      for (const Arrival& a : call.arrivals) {
        const RankClock* c = clock(a.rank);
        if (c == nullptr || c->error_ns) continue;
        const auto start = static_cast<double>(a.start_ns), end = static_cast<double>(a.end_ns);
        Bounds& of_rank = bounds[static_cast<std::size_t>(c - clocks_.data())];
        of_rank.low.push_back({end, k.latest_start - end});
        of_rank.high.push_back({start, k.earliest_end - start});
      }
    }
    bool found = false;
    for (std::size_t i = 0; i < bounds.size(); ++i) {
      if (bounds[i].low.empty()) continue;
      clocks_[i] = fit(clocks_[i].rank, centred(std::move(bounds[i])));
      found = true;
    }
    return found;
  }

  static Bounds centred(Bounds bounds) {
    bounds.first = INFINITY, bounds.last = -INFINITY;
    for (const Point& p : bounds.high) bounds.first = std::min(bounds.first, p.time);
    for (const Point& p : bounds.low) bounds.last = std::max(bounds.last, p.time);
    bounds.middle_ns = (bounds.first + bounds.last) / 2;
    for (auto* points : {&bounds.low, &bounds.high})
      for (Point& p : *points) p.time -= bounds.middle_ns;
    bounds.first -= bounds.middle_ns, bounds.last -= bounds.middle_ns;
    return bounds;
  }

  const MatchedCollectives& matched_;
  std::vector<RankClock> clocks_;
};

}  // namespace

ClockAlignment align_clocks(const MatchedCollectives& matched) { return Aligner(matched).align(); }

std::int64_t common_ns(const RankClock& clock, std::int64_t time_ns) {
  if (clock.may_be_same || !clock.error_ns) return time_ns;
  return time_ns + std::llround(clock.offset_ns + clock.drift_ppm * 1e-6 * static_cast<double>(time_ns));
}

double common_error_ns(const RankClock& clock) { return clock.may_be_same ? 0 : clock.error_ns.value_or(0); }

}  // namespace shardscope
