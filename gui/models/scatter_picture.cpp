// The picture of scatter.h.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "gui/models/scatter.h"
#include "gui/models/timeline_colours.h"

namespace shardscope::gui {
namespace {

constexpr double kMargin = 14, kLine = 18, kMark = 4, kNear = 8;

Rgb colour_of(OpFamily family) {
  constexpr std::array<Rgb, kOpFamilies> kColours = {kBlue, kPurple, kOrange, kGreen, kVermilion, kSky};
  return kColours[static_cast<std::size_t>(family)];
}

/// A mark of its own for each family: hue is never the only cue.
void draw_mark(Picture& picture, OpFamily family, double x, double y) {
  const Rgb colour = colour_of(family);
  const auto at = [&](double dx, double dy) { return Point{static_cast<float>(x + dx), static_cast<float>(y + dy)}; };
  switch (family) {
    case OpFamily::kProducts:
      picture.disc(x, y, kMark, colour);
      return;
    case OpFamily::kAttention:
      picture.ring(x, y, kMark + 0.5, colour, 2);
      return;
    case OpFamily::kElementwise:
      picture.fill(std::round(x - kMark + 0.5), std::round(y - kMark + 0.5), 2 * kMark - 1, 2 * kMark - 1, colour);
      return;
    case OpFamily::kOptimizer:
      picture.polygon(std::array{at(0, -kMark - 1), at(kMark + 1, 0), at(0, kMark + 1), at(-kMark - 1, 0)}, colour);
      return;
    case OpFamily::kCollectives:
      picture.polygon(std::array{at(0, -kMark - 1), at(kMark + 1, kMark), at(-kMark - 1, kMark)}, colour);
      return;
    case OpFamily::kCopies:
      picture.line(x - kMark, y - kMark, x + kMark, y + kMark, colour, {.width = 2});
      picture.line(x - kMark, y + kMark, x + kMark, y - kMark, colour, {.width = 2});
  }
}

bool shown(const CalibrationPoint& point, const ScatterState& state) {
  return state.family.empty() || state.family == to_string(family_of(point));
}

double legend_width(const TextWidth& measure) {
  double widest = measure("within 2x: 1000 of 1000", false);
  for (int i = 0; i < kOpFamilies; ++i)
    widest = std::max(widest, 20 + measure(to_string(static_cast<OpFamily>(i)), true));
  return widest;
}

/// A square, the same decades along both sides.
struct Plot {
  double left = 0, top = 0, side = 1, low = -6, high = 0;  ///< powers of ten of seconds
  double part(double seconds) const { return (std::log10(seconds) - low) / (high - low); }
  double x(double seconds) const { return left + part(seconds) * side; }
  double y(double seconds) const { return top + (1 - part(seconds)) * side; }
};

Plot plot_of(const ScatterData& data, double width, double height, const TextWidth& measure) {
  Plot plot;
  plot.left = kMargin + kLine + measure("100 ms", false) + 8;
  plot.top = kMargin + 2 * kLine;
  plot.side = std::max(40.0, std::floor(std::min(width - plot.left - legend_width(measure) - 3 * kMargin,
                                                 height - plot.top - 2 * kLine - kMargin)));
  double least = 1e300, most = 0;
  for (const CalibrationPoint& p : data.points) {
    least = std::min({least, p.measured_s, p.predicted_s});
    most = std::max({most, p.measured_s, p.predicted_s});
  }
  constexpr double kRoom = 0.12;  // decades between the outermost points and the edge
  plot.low = std::log10(least) - kRoom;
  plot.high = std::max(std::log10(most) + kRoom, plot.low + 0.7);
  return plot;
}

class Drawing {
 public:
  Drawing(const ScatterData& data, const ScatterState& state, double width, double height, const TextWidth& measure)
      : data_(data),
        state_(state),
        measure_(measure),
        shades_(shades_of(state.dark)),
        picture_(width, height, shades_.ground) {}

  Picture draw() {
    draw_title();
    if (!data_.problem.empty()) {
      draw_paragraph(picture_, kMargin, kMargin + kTextSize + 2 * kLine, picture_.width - 2 * kMargin, data_.problem,
                     shades_.text, measure_);
      return std::move(picture_);
    }
    plot_ = plot_of(data_, picture_.width, picture_.height, measure_);
    draw_axes();
    for (double factor : {0.5, 1.0, 2.0}) draw_line(factor);
    for (const CalibrationPoint& p : data_.points) {
      if (shown(p, state_)) draw_mark(picture_, family_of(p), plot_.x(p.measured_s), plot_.y(p.predicted_s));
    }
    for (const CalibrationPoint& p : data_.points) {
      if (!state_.op.empty() && to_string(p.label) == state_.op)
        picture_.ring(plot_.x(p.measured_s), plot_.y(p.predicted_s), kMark + 4, shades_.text, 2);
    }
    draw_legend();
    return std::move(picture_);
  }

 private:
  void draw_title() {
    const std::string title = elide(data_.name.empty() ? "Calibration" : "Calibration of " + data_.name,
                                    picture_.width - 2 * kMargin, measure_, true);
    picture_.text(kMargin, kMargin + kTextSize, title, shades_.text, true);
    if (!data_.problem.empty()) return;
    const CalibrationScore score = score_of(data_.points);
    const std::string remark = fmt::format(
        "{} ops; median error {:.0f} %, {:.0f} % within a factor of 2", data_.points.size(), score.median_error * 100,
        100.0 * static_cast<double>(score.within_two) / static_cast<double>(data_.points.size()));
    const double after = kMargin + measure_(title, true) + kLine;
    picture_.text(after, kMargin + kTextSize, elide(remark, picture_.width - after - kMargin, measure_), shades_.faint);
  }

  void draw_axes() {
    picture_.fill(plot_.left, plot_.top, plot_.side, plot_.side, shades_.row);
    const double bottom = plot_.top + plot_.side, right = plot_.left + plot_.side;
    for (int decade = static_cast<int>(std::ceil(plot_.low)); decade <= static_cast<int>(std::floor(plot_.high));
         ++decade) {
      const double seconds = std::pow(10.0, decade), x = std::round(plot_.x(seconds)), y = std::round(plot_.y(seconds));
      const std::string text = format_seconds(seconds);
      picture_.fill(x, plot_.top, 1, plot_.side, shades_.line);
      picture_.fill(plot_.left, y, plot_.side, 1, shades_.line);
      picture_.text(std::min(x, right - measure_(text, false) / 2), bottom + kTextSize + 4, text, shades_.faint, false,
                    TextAnchor::kMiddle);
      picture_.text(plot_.left - 6, y + kTextSize * 0.36, text, shades_.faint, false, TextAnchor::kEnd);
    }
    picture_.text(plot_.left + plot_.side / 2, bottom + 2 * kLine,
                  "measured: mean time of an op, without waiting for ranks", shades_.text, false, TextAnchor::kMiddle);
    picture_.text_upward(kMargin + kTextSize, plot_.top + plot_.side / 2, "predicted", shades_.text);
  }

  /// predicted = factor * measured, from edge to edge of the plot.
  void draw_line(double factor) {
    const double shift = std::log10(factor), low = plot_.low + std::max(0.0, -shift),
                 high = plot_.high - std::max(0.0, shift);
    const auto x = [&](double power) { return plot_.x(std::pow(10.0, power)); };
    const auto y = [&](double power) { return plot_.y(std::pow(10.0, power + shift)); };
    const bool exact = factor == 1;
    picture_.line(x(low), y(low), x(high), y(high), shades_.faint, {.width = exact ? 1.5 : 1, .dashed = !exact});
  }

  void draw_legend() {
    const double left = plot_.left + plot_.side + 2 * kMargin;
    double y = plot_.top + kTextSize;
    picture_.line(left, y - 4, left + 14, y - 4, shades_.faint, {.width = 1.5});
    picture_.text(left + 20, y, "predicted = measured", shades_.faint);
    y += kLine;
    picture_.line(left, y - 4, left + 14, y - 4, shades_.faint, {.dashed = true});
    picture_.text(left + 20, y, "half and twice as long", shades_.faint);
    y += kLine + 8;
    for (int i = 0; i < kOpFamilies; ++i) {
      const auto family = static_cast<OpFamily>(i);
      std::vector<CalibrationPoint> points;
      for (const CalibrationPoint& p : data_.points) {
        if (family_of(p) == family) points.push_back(p);
      }
      if (points.empty()) continue;
      const CalibrationScore score = score_of(points);
      const bool on = state_.family.empty() || state_.family == to_string(family);
      draw_mark(picture_, family, left + 6, y - 4);
      picture_.text(left + 20, y, std::string(to_string(family)), on ? shades_.text : shades_.faint, on);
      picture_.text(left + 20, y += kLine - 2,
                    fmt::format("{} op{}, error {:.0f} %", points.size(), points.size() == 1 ? "" : "s",
                                score.median_error * 100),
                    shades_.faint);
      picture_.text(left + 20, y += kLine - 2, fmt::format("within 2x: {} of {}", score.within_two, points.size()),
                    shades_.faint);
      y += kLine + 8;
      if (y > picture_.height - 2 * kLine) return;
    }
  }

  const ScatterData& data_;
  const ScatterState& state_;
  const TextWidth& measure_;
  const TimelineShades shades_;
  Picture picture_;
  Plot plot_;
};

}  // namespace

Picture draw_scatter(const ScatterData& data, const ScatterState& state, double width, double height,
                     const TextWidth& measure) {
  return Drawing(data, state, width, height, measure).draw();
}

std::optional<std::size_t> scatter_hit(const ScatterData& data, const ScatterState& state, double width, double height,
                                       const TextWidth& measure, double x, double y) {
  if (data.points.empty()) return std::nullopt;
  const Plot plot = plot_of(data, width, height, measure);
  std::optional<std::size_t> nearest;
  double least = kNear * kNear;
  for (std::size_t i = 0; i < data.points.size(); ++i) {
    const CalibrationPoint& p = data.points[i];
    const double dx = plot.x(p.measured_s) - x, dy = plot.y(p.predicted_s) - y, away = dx * dx + dy * dy;
    if (!shown(p, state) || away > least) continue;
    least = away;
    nearest = i;
  }
  return nearest;
}

}  // namespace shardscope::gui
