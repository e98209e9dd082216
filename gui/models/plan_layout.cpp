// Where the marks of the Plan view are (gui/models/plan_picture.h).

#include <algorithm>
#include <cmath>
#include <span>

#include "gui/models/plan_picture.h"

namespace shardscope::gui {
namespace {

constexpr double kMargin = 12, kTitle = 30, kAxisBelow = 66, kLegend = 22, kNarrow = 820, kReach = 12;

/// What an axis has to hold.
struct Extent {
  double low = 1e300, high = 0;
  void add(double v) {
    if (!(v > 0) || !std::isfinite(v)) return;
    low = std::min(low, v), high = std::max(high, v);
  }
  PlanAxis axis(double length) const {
    if (high <= 0) return {1, 10, length};
    const double room = std::max(std::pow(high / low, 0.06), 1.05);
    return {low / room, high * room, length};
  }
};

/// A limit belongs into the picture unless it would squeeze everything else.
void add_limit(Extent& extent, double limit) {
  constexpr double kFar = 4;
  if (limit > 0 && extent.high > 0 && limit > extent.low / kFar && limit < extent.high * kFar) extent.add(limit);
}

struct Extents {
  Extent usd, days;
  void add(const PlanDot& d) {
    usd.add(d.front ? d.low_usd() : d.point.run.cost_usd);
    usd.add(d.front ? d.high_usd() : d.point.run.cost_usd);
    days.add(d.front ? d.low_days() : d.point.run.days);
    days.add(d.front ? d.high_days() : d.point.run.days);
  }
  bool is_near(const PlanDot& d) const {
    constexpr double kFar = 2;
    return d.point.run.cost_usd < kFar * usd.high && d.point.run.days < kFar * days.high;
  }
};

/// Which dots are in the picture: the front, what is held on to, and of the others those that do not squeeze it.
std::vector<bool> shown_dots(const PlanResult& result, const PlanState& state, Extents& extents) {
  std::vector<bool> shown(result.dots.size(), false);
  const PlanDot* chosen = chosen_dot(result, state);
  const auto add = [&](std::size_t i) { shown[i] = true, extents.add(result.dots[i]); };
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const PlanDot& d = result.dots[i];
    if (d.legal && (d.front || &d == chosen)) add(i);
  }
  for (const PlanKey& key : state.pinned) {
    const PlanDot* d = find_dot(result, key);
    if (d != nullptr && d->legal) add(static_cast<std::size_t>(d - result.dots.data()));
  }
  const bool all = std::none_of(result.dots.begin(), result.dots.end(), [](const PlanDot& d) { return d.front; });
  const Extents front = extents;
  for (std::size_t i = 0; i < shown.size(); ++i) {
    if (result.dots[i].legal && !shown[i] && (all || front.is_near(result.dots[i]))) add(i);
  }
  return shown;
}

}  // namespace

double PlanAxis::at(double value) const { return std::log(value / low) / std::log(high / low) * length; }

PlanLayout plan_layout(const PlanResult& result, const PlanState& state, double width, double height,
                       const TextWidth& measure) {
  PlanLayout layout;
  const double left = kMargin + kTextSize + 8 + measure("10000", false);
  const bool narrow = width < kNarrow;
  const double plot_right = narrow ? width - kMargin : width * 0.58;
  const double bottom = narrow ? height * 0.5 : height;
  layout.plot = {left, kTitle + kLegend, std::max(40.0, plot_right - left),
                 std::max(40.0, bottom - kTitle - kLegend - kAxisBelow + kLegend)};
  layout.panel = narrow ? PlanArea{kMargin, bottom + kMargin, width - 2 * kMargin, height - bottom - kMargin}
                        : PlanArea{plot_right + 2 * kMargin, kTitle, width - plot_right - 3 * kMargin, height - kTitle};
  Extents extents;
  const std::vector<bool> shown = shown_dots(result, state, extents);
  add_limit(extents.usd, state.inputs.budget_usd), add_limit(extents.days, state.inputs.deadline_days);
  layout.usd = extents.usd.axis(layout.plot.width);
  layout.days = extents.days.axis(layout.plot.height);
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const RunCost& run = result.dots[i].point.run;
    layout.places.push_back({-1, -1});
    if (!shown[i] || !(run.days > 0 && run.cost_usd > 0)) continue;
    const double x = layout.plot.x + layout.usd.at(run.cost_usd);
    const double y = layout.plot.y + layout.plot.height - layout.days.at(run.days);
    layout.places.back() = {static_cast<float>(x), static_cast<float>(y)};
  }
  return layout;
}

std::optional<std::size_t> dot_at(const PlanLayout& layout, const PlanResult& result, double x, double y) {
  std::optional<std::size_t> best;
  double nearest = kReach;
  for (std::size_t i = 0; i < layout.places.size(); ++i) {
    if (layout.places[i].x < 0) continue;
    // What is beaten is found only where the pointer is right on it.
    const double distance =
        std::hypot(layout.places[i].x - x, layout.places[i].y - y) + (result.dots[i].front ? 0 : kReach / 2);
    if (distance >= nearest) continue;
    nearest = distance;
    best = i;
  }
  return best;
}

namespace {

std::vector<double> decade_ticks(const PlanAxis& axis, std::span<const double> steps) {
  std::vector<double> ticks;
  for (double decade = std::pow(10, std::floor(std::log10(axis.low))); decade <= axis.high; decade *= 10) {
    for (const double step : steps) {
      if (decade * step >= axis.low && decade * step <= axis.high) ticks.push_back(decade * step);
    }
  }
  return ticks;
}

/// Where less than a decade is shown: evenly spaced round values.
std::vector<double> linear_ticks(const PlanAxis& axis, int wanted) {
  const double rough = (axis.high - axis.low) / std::max(wanted, 2);
  const double decade = std::pow(10, std::floor(std::log10(rough)));
  double step = decade;
  for (const double factor : {1.0, 2.0, 5.0, 10.0}) {
    step = decade * factor;
    if (step >= rough) break;
  }
  std::vector<double> ticks;
  for (double v = std::ceil(axis.low / step) * step; v <= axis.high; v += step) ticks.push_back(v);
  return ticks;
}

}  // namespace

std::vector<double> log_ticks(const PlanAxis& axis, int wanted) {
  static constexpr double kFew[] = {1}, kSome[] = {1, 3}, kMore[] = {1, 2, 5}, kMany[] = {1, 1.5, 2, 3, 5, 7};
  std::vector<double> best;
  for (const std::span<const double> steps : {std::span<const double>(kFew), std::span<const double>(kSome),
                                              std::span<const double>(kMore), std::span<const double>(kMany)}) {
    std::vector<double> ticks = decade_ticks(axis, steps);
    if (static_cast<int>(ticks.size()) <= wanted && ticks.size() > best.size()) best = std::move(ticks);
  }
  constexpr std::size_t kFewest = 3;
  if (best.size() >= kFewest) return best;
  std::vector<double> linear = linear_ticks(axis, wanted);
  return linear.size() > best.size() ? linear : best;  // one tick tells no scale
}

}  // namespace shardscope::gui
