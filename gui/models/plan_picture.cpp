#include "gui/models/plan_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "gui/models/plan_panel.h"
#include "gui/models/timeline_colours.h"
#include "simulator/planner/constraints.h"

namespace shardscope::gui {
namespace {

constexpr double kMargin = 12, kLine = 18, kFrontMark = 6, kOtherMark = 4;
constexpr double kTickX = 90, kTickY = 40;

Rgb mix(Rgb a, Rgb b, double part_of_b) {
  const auto one = [&](std::uint8_t x, std::uint8_t y) {
    return static_cast<std::uint8_t>(std::lround(x * (1 - part_of_b) + y * part_of_b));
  };
  return {one(a.r, b.r), one(a.g, b.g), one(a.b, b.b)};
}

/// Corners of a stage's mark; a disc has none.
std::vector<Point> corners_of(int zero, double x, double y, double radius) {
  struct Shape {
    int corners;
    double turn, size;  // of the first corner; so that all marks look alike large
  };
  constexpr std::array<Shape, 4> kShapes{{{0, 0, 1}, {3, -90, 1.25}, {4, 45, 1.2}, {4, 0, 1.25}}};
  const Shape& shape = kShapes[static_cast<std::size_t>(std::clamp(zero, 0, 3))];
  std::vector<Point> corners;
  for (int i = 0; i < shape.corners; ++i) {
    const double angle = (shape.turn + 360.0 * i / shape.corners) * std::numbers::pi / 180;
    corners.push_back({static_cast<float>(x + shape.size * radius * std::cos(angle)),
                       static_cast<float>(y + shape.size * radius * std::sin(angle))});
  }
  return corners;
}

void draw_hollow_mark(Picture& picture, int zero, double x, double y, double radius, Rgb colour, Rgb ground) {
  std::vector<Point> corners = corners_of(zero, x, y, radius);
  if (corners.empty()) {
    picture.disc(x, y, radius, ground);
    picture.ring(x, y, radius, colour, 1.5);
    return;
  }
  picture.polygon(corners, ground);
  corners.push_back(corners.front());
  picture.line(corners, colour, {1.5});
}

class Drawing {
 public:
  Drawing(const PlanResult& result, const PlanState& state, double width, double height, const TextWidth& measure)
      : result_(result),
        state_(state),
        measure_(measure),
        shades_(shades_of(state.dark)),
        layout_(plan_layout(result, state, width, height, measure)),
        picture_(width, height, shades_.ground) {}

  Picture draw(const Relief& relief) {
    draw_title();
    const bool any = std::any_of(result_.dots.begin(), result_.dots.end(), [](const PlanDot& d) { return d.legal; });
    if (any) {
      draw_axes();
      draw_limits();
      draw_dots();
      draw_legend();
    }
    if (!result_.recommended) draw_problem();
    if (const PlanDot* chosen = chosen_dot(result_, state_))
      draw_plan_panel(picture_, {result_, *chosen, relief, layout_.panel, shades_, measure_});
    return std::move(picture_);
  }

 private:
  double right() const { return layout_.plot.x + layout_.plot.width; }
  double bottom() const { return layout_.plot.y + layout_.plot.height; }
  double x_of(double usd) const { return layout_.plot.x + layout_.usd.at(usd); }
  double y_of(double days) const { return bottom() - layout_.days.at(days); }

  void draw_title() {
    const PlanInputs& in = state_.inputs;
    const bool many = in.tokens >= 1e12;
    const std::string name =
        fmt::format("{}, {:.4g} {} tokens", in.model, in.tokens / (many ? 1e12 : 1e9), many ? "T" : "G");
    picture_.text(kMargin, kLine, elide(name, picture_.width * 0.5, measure_, true), shades_.text, true);
    const double at = kMargin + measure_(name, true) + kMargin;
    const std::string remark =
        fmt::format("{} plans searched, {} shown; lower and further left is better", result_.searched,
                    std::count_if(result_.dots.begin(), result_.dots.end(), [](const auto& d) { return d.legal; }));
    picture_.text(at, kLine, elide(remark, right() - at, measure_), shades_.faint);
  }

  void draw_axes() {
    picture_.fill(layout_.plot.x, layout_.plot.y, layout_.plot.width, layout_.plot.height, shades_.row);
    for (const double usd : log_ticks(layout_.usd, static_cast<int>(layout_.plot.width / kTickX))) {
      const double x = std::floor(x_of(usd));
      picture_.fill(x, layout_.plot.y, 1, layout_.plot.height + 4, shades_.line);
      const std::string text = format_usd(usd);
      if (x + measure_(text, false) / 2 > picture_.width) continue;
      picture_.text(x, bottom() + kLine, text, shades_.faint, false, TextAnchor::kMiddle);
    }
    for (const double days : log_ticks(layout_.days, static_cast<int>(layout_.plot.height / kTickY))) {
      const double y = std::floor(y_of(days));
      picture_.fill(layout_.plot.x - 4, y, layout_.plot.width + 4, 1, shades_.line);
      picture_.text(layout_.plot.x - 8, y + 4, fmt::format("{:.6g}", days), shades_.faint, false, TextAnchor::kEnd);
    }
    picture_.text(layout_.plot.x + layout_.plot.width / 2, bottom() + 2 * kLine, "cost, USD (logarithmic)",
                  shades_.text, false, TextAnchor::kMiddle);
    picture_.text_upward(kMargin + 8, layout_.plot.y + layout_.plot.height / 2, "days (logarithmic)", shades_.text);
  }

  void draw_limits() {
    const PlanInputs& in = state_.inputs;
    if (in.deadline_days >= layout_.days.low && in.deadline_days <= layout_.days.high) {
      const double y = y_of(in.deadline_days);
      picture_.line(layout_.plot.x, y, right(), y, shades_.text, {1.5, true});
      picture_.text(right() - 4, y - 5, "deadline " + format_days(in.deadline_days), shades_.text, true,
                    TextAnchor::kEnd);
    }
    if (in.budget_usd < layout_.usd.low || in.budget_usd > layout_.usd.high) return;
    const double x = x_of(in.budget_usd);
    picture_.line(x, layout_.plot.y, x, bottom(), shades_.text, {1.5, true});
    const bool left = x - layout_.plot.x > layout_.plot.width / 2;
    picture_.text(x + (left ? -5 : 5), layout_.plot.y + kLine - 4, "budget " + format_usd(in.budget_usd), shades_.text,
                  true, left ? TextAnchor::kEnd : TextAnchor::kStart);
  }

  bool is_place(std::size_t i) const { return layout_.places[i].x >= 0; }

  /// What matters most is drawn last, on top.
  void draw_dots() {
    const std::size_t n = result_.dots.size();
    const PlanDot* chosen = chosen_dot(result_, state_);
    const bool any_good = std::any_of(result_.dots.begin(), result_.dots.end(), [](const auto& d) { return d.good(); });
    for (std::size_t i = 0; i < n; ++i) {
      const PlanDot& d = result_.dots[i];
      if (is_place(i) && d.front && (d.meets || !any_good || &d == chosen))
        draw_whiskers(result_.dots[i], layout_.places[i]);
    }
    for (const bool front : {false, true}) {
      for (std::size_t i = n; i-- > 0;) {
        if (is_place(i) && result_.dots[i].front == front) draw_dot(result_.dots[i], layout_.places[i]);
      }
    }
    if (result_.recommended && is_place(*result_.recommended)) {
      const Point p = layout_.places[*result_.recommended];
      picture_.ring(p.x, p.y, kFrontMark + 4, shades_.text, 1);
    }
    draw_kept();
  }

  void draw_whiskers(const PlanDot& d, Point p) {
    const Rgb colour = mix(look_of_stage(d.point.plan.zero).colour, shades_.row, 0.35);
    const double left = x_of(d.low_usd()), far = x_of(d.high_usd());
    const double top = y_of(d.high_days()), low = y_of(d.low_days());
    picture_.line(left, p.y, far, p.y, colour);
    picture_.line(p.x, top, p.x, low, colour);
    constexpr double kCap = 3;
    for (const double x : {left, far}) picture_.line(x, p.y - kCap, x, p.y + kCap, colour);
    for (const double y : {top, low}) picture_.line(p.x - kCap, y, p.x + kCap, y, colour);
  }

  void draw_dot(const PlanDot& d, Point p) {
    const StageLook look = look_of_stage(d.point.plan.zero);
    const Rgb colour = d.meets ? look.colour : mix(look.colour, shades_.row, 0.5);
    if (!d.fits) {
      const Rgb rim = mix(look.colour, shades_.text, 0.3);  // a thin line needs more contrast than a fill
      draw_hollow_mark(picture_, d.point.plan.zero, p.x, p.y, kOtherMark + 1, rim, shades_.row);
    } else {
      const double radius = d.front ? kFrontMark : kOtherMark;
      if (d.front) draw_stage_mark(picture_, d.point.plan.zero, p.x, p.y, radius + 1.2, shades_.text);
      draw_stage_mark(picture_, d.point.plan.zero, p.x, p.y, radius, colour);
    }
  }

  void draw_kept() {
    for (const PlanKey& key : state_.pinned) {
      const PlanDot* dot = find_dot(result_, key);
      if (dot == nullptr || !dot->legal) continue;
      const Point p = layout_.places[static_cast<std::size_t>(dot - result_.dots.data())];
      constexpr double kHalf = 10;
      picture_.frame(p.x - kHalf, p.y - kHalf, 2 * kHalf, 2 * kHalf, shades_.text);
    }
    const PlanDot* chosen = chosen_dot(result_, state_);
    if (chosen == nullptr || !chosen->legal) return;
    const Point p = layout_.places[static_cast<std::size_t>(chosen - result_.dots.data())];
    picture_.ring(p.x, p.y, kFrontMark + 8, shades_.text, 3);
    const std::string label = "chosen";
    const double width = measure_(label, true) + 8, x = p.x + 18 + width > right() ? p.x - 18 - width : p.x + 18;
    picture_.fill(x, p.y - 9, width, kLine, shades_.ground);
    picture_.frame(x, p.y - 9, width, kLine, shades_.text);
    picture_.text(x + 4, p.y + 4, label, shades_.text, true);
  }

  void draw_legend() {
    double x = layout_.plot.x;
    const double y = layout_.plot.y - kLine / 2;
    const auto label = [&](const std::string& text) {
      picture_.text(x, y + 4, text, shades_.text);
      x += measure_(text, false) + kMargin;
    };
    for (int zero = 0; zero <= 3; ++zero) {
      draw_stage_mark(picture_, zero, x + 5, y, 5, look_of_stage(zero).colour);
      x += 14;
      label(look_of_stage(zero).name);
    }
    draw_hollow_mark(picture_, 0, x + 5, y, 5, shades_.text, shades_.ground);
    x += 14;
    label("does not fit");
    constexpr double kRest = 205;  // of what follows
    if (x + kRest > right()) return;
    picture_.line(x, y, x + 14, y, shades_.text);
    picture_.line(x, y - 3, x, y + 3, shades_.text), picture_.line(x + 14, y - 3, x + 14, y + 3, shades_.text);
    x += 20;
    label("P10-P90");
    picture_.ring(x + 5, y, 6, shades_.text, 1);
    x += 16;
    label("recommended");
  }

  /// Along the edge that hides fewer dots, the chosen one least.
  bool is_fuller_below(double height) const {
    const PlanDot* chosen = chosen_dot(result_, state_);
    int above = 0, below = 0;
    for (std::size_t i = 0; i < result_.dots.size(); ++i) {
      if (!is_place(i)) continue;
      constexpr int kOfChosen = 100;
      const int weight = &result_.dots[i] == chosen ? kOfChosen : 1;
      const double y = layout_.places[i].y;
      if (y < layout_.plot.y + height + 2 * kMargin) above += weight;
      if (y > bottom() - height - 2 * kMargin) below += weight;
    }
    return below >= above;
  }

  void draw_problem() {
    const std::string text = result_.problem.empty() ? "No plan keeps to all inputs." : result_.problem;
    std::vector<std::string> lines = wrap(text, layout_.plot.width - 4 * kMargin, measure_);
    for (const PlanChip& chip : chips_of(state_.inputs, result_)) {
      if (!chip.blocks) continue;
      const std::string blocker = fmt::format("{} stands in the way; without it: {}", chip.text, chip.nearest);
      for (std::string& line : wrap(blocker, layout_.plot.width - 4 * kMargin, measure_))
        lines.push_back(std::move(line));
    }
    const double height = kLine * static_cast<double>(lines.size()) + 2 * kMargin;
    const double x = layout_.plot.x + kMargin, low = std::max(bottom() - height - kMargin, layout_.plot.y);
    const double top = is_fuller_below(height) ? layout_.plot.y + kMargin : low;
    picture_.fill(x, top, layout_.plot.width - 2 * kMargin, height, shades_.ground);
    picture_.frame(x, top, layout_.plot.width - 2 * kMargin, height, shades_.text);
    double y = top + kMargin + kTextSize;
    for (const std::string& line : lines) {
      picture_.text(x + kMargin, y, line, shades_.text);
      y += kLine;
    }
  }

  const PlanResult& result_;
  const PlanState& state_;
  const TextWidth& measure_;
  const TimelineShades shades_;
  const PlanLayout layout_;
  Picture picture_;
};

}  // namespace

StageLook look_of_stage(int zero) {
  constexpr std::array<StageLook, 4> kLooks{
      {{"ZeRO 0", kSky}, {"ZeRO 1", kOrange}, {"ZeRO 2", kGreen}, {"ZeRO 3", kVermilion}}};
  return kLooks[static_cast<std::size_t>(std::clamp(zero, 0, 3))];
}

void draw_stage_mark(Picture& picture, int zero, double x, double y, double radius, Rgb colour) {
  const std::vector<Point> corners = corners_of(zero, x, y, radius);
  if (corners.empty()) return picture.disc(x, y, radius, colour);
  picture.polygon(corners, colour);
}

Picture draw_plan(const PlanResult& result, const Relief& relief, const PlanState& state, double width, double height,
                  const TextWidth& measure) {
  return Drawing(result, state, width, height, measure).draw(relief);
}

Picture draw_plan(const PlanState& state, double width, double height, const TextWidth& measure) {
  const PlanResult result = evaluate(state, plan_catalog(state));
  const PlanDot* chosen = chosen_dot(result, state);
  const Relief relief = chosen != nullptr && chosen->legal ? relief_of(result, *chosen) : Relief{};
  return draw_plan(result, relief, state, width, height, measure);
}

}  // namespace shardscope::gui
