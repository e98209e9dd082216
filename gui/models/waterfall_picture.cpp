// The picture of waterfall.h.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gui/models/timeline_colours.h"
#include "gui/models/waterfall.h"

namespace shardscope::gui {
namespace {

constexpr double kMargin = 14, kLine = 18, kHighestRow = 44, kBarPart = 0.6;
constexpr const char* kFaster = "▼ faster";
constexpr const char* kSlower = "▲ slower";

/// From seconds to x. Starts at zero unless the differences would be too small to see.
struct Axis {
  double left = 0, width = 1, low_s = 0, high_s = 1;
  double x(double s) const { return left + (s - low_s) / (high_s - low_s) * width; }
};

Axis axis_of(const Waterfall& w, double left, double width) {
  double low = std::min(w.base_s, w.run_s), high = std::max(w.base_s, w.run_s);
  for (const WaterfallStep& step : w.steps) {
    low = std::min({low, step.from_s, step.to_s});
    high = std::max({high, step.from_s, step.to_s});
  }
  constexpr double kVisible = 0.25;  // of the longest bar
  const double span = high - low;
  const double start = span >= kVisible * high || span == 0 ? 0 : std::max(0.0, low - span * 0.4);
  return {left, width, start, std::max(high, 1e-12)};
}

class Drawing {
 public:
  Drawing(const Waterfall& waterfall, bool dark, double width, double height, const TextWidth& measure)
      : w_(waterfall), measure_(measure), shades_(shades_of(dark)), picture_(width, height, shades_.ground) {}

  Picture draw() {
    const double baseline = kMargin + kTextSize;
    const std::string title = elide(w_.title, picture_.width - 2 * kMargin, measure_, true);
    picture_.text(kMargin, baseline, title, shades_.text, true);
    const double after = kMargin + measure_(title, true) + kLine;
    picture_.text(after, baseline, elide(w_.remark, picture_.width - after - kMargin, measure_), shades_.faint);
    if (!w_.problem.empty()) {
      draw_paragraph(picture_, kMargin, baseline + 2 * kLine, picture_.width - 2 * kMargin, w_.problem, shades_.text,
                     measure_);
      return std::move(picture_);
    }
    lay_out();
    draw_axis();
    draw_total(0, w_.names.base, w_.base_s, w_.names.base_predicted);
    for (std::size_t i = 0; i < w_.steps.size(); ++i) draw_step(i + 1, w_.steps[i]);
    draw_total(w_.steps.size() + 1, w_.names.run, w_.run_s, w_.names.run_predicted);
    draw_legend();
    return std::move(picture_);
  }

 private:
  std::string values_of(const WaterfallStep& step) const {
    return format_seconds(step.base_s) + " → " + format_seconds(step.run_s);
  }

  void lay_out() {
    double label = std::max(measure_(w_.names.base, true), measure_(w_.names.run, true)), values = 0, delta = 0;
    for (const WaterfallStep& step : w_.steps) {
      label = std::max(label, measure_(to_string(step.cause), false));
      values = std::max(values, measure_(values_of(step), false));
      delta = std::max(delta, measure_(format_delta(step.run_s - step.base_s), false));
    }
    label_ = std::min(label, picture_.width / 4);
    values_ = kMargin + label_ + kLine;
    const bool roomy = picture_.width > 3 * (label_ + values);
    show_values_ = roomy;
    const double left = values_ + (roomy ? values + kLine : 0);
    const double ends = std::max(delta, measure_(format_seconds(std::max(w_.base_s, w_.run_s)), true));
    axis_ = axis_of(w_, std::round(left), std::max(20.0, picture_.width - left - kMargin - ends - 8));
    top_ = kMargin + 3 * kLine;
    const auto rows = static_cast<double>(w_.steps.size() + 2);
    row_ = std::clamp(std::floor((picture_.height - top_ - 2 * kLine - kMargin) / rows), 8.0, kHighestRow);
  }

  double row_top(std::size_t row) const { return top_ + static_cast<double>(row) * row_; }
  double baseline(std::size_t row) const { return row_top(row) + row_ / 2 + kTextSize * 0.36; }
  double bar_height() const { return std::round(row_ * kBarPart); }
  double bar_top(std::size_t row) const { return std::round(row_top(row) + (row_ - bar_height()) / 2); }

  void draw_axis() {
    const double bottom = row_top(w_.steps.size() + 2), span = axis_.high_s - axis_.low_s;
    const int wanted = std::max(1, static_cast<int>(axis_.width / 130));
    for (double tick : axis_ticks(span, BarUnit::kSeconds, wanted)) {
      const double x = std::round(axis_.x(axis_.low_s + tick));
      if (x > axis_.left + axis_.width + 1) break;
      picture_.fill(x, top_ - 6, 1, bottom - top_ + 6, shades_.line);
      const std::string text = tick == 0 ? (axis_.low_s == 0 ? "0" : format_seconds(axis_.low_s))
                                         : (axis_.low_s == 0 ? "" : "+") + format_seconds(tick);
      picture_.text(x + 3, top_ - 8, text, shades_.faint);
    }
    if (axis_.low_s > 0) picture_.text(kMargin, top_ - 8, "axis does not start at 0", shades_.faint);
  }

  void label(std::size_t row, std::string_view text, bool bold) {
    picture_.text(kMargin, baseline(row), elide(std::string(text), label_ + 4, measure_, bold), shades_.text, bold);
  }

  void draw_total(std::size_t row, const std::string& name, double seconds, bool predicted) {
    label(row, name, true);
    const double right = axis_.x(seconds);
    picture_.fill(axis_.left, bar_top(row), std::max(1.0, right - axis_.left), bar_height(), kGrey,
                  predicted ? Texture::kHatch : Texture::kPlain);
    picture_.text(right + 6, baseline(row), format_seconds(seconds), shades_.text, true);
  }

  void draw_step(std::size_t row, const WaterfallStep& step) {
    const double delta = step.run_s - step.base_s;
    label(row, to_string(step.cause), false);
    if (show_values_) picture_.text(values_, baseline(row), values_of(step), shades_.faint);
    const double from = std::round(axis_.x(step.from_s)), to = std::round(axis_.x(step.to_s));
    const double left = std::min(from, to), width = std::max(1.0, std::abs(to - from));
    picture_.fill(from, bar_top(row - 1) + bar_height(), 1, bar_top(row) - bar_top(row - 1) - bar_height(),
                  shades_.faint);
    picture_.fill(left, bar_top(row), width, bar_height(), delta_colour(delta));
    picture_.text(left + width + 6, baseline(row), format_delta(delta), shades_.text);
    if (row == w_.steps.size()) {
      picture_.fill(to - 1, bar_top(row) + bar_height(), 1, bar_top(row + 1) - bar_top(row) - bar_height(),
                    shades_.faint);
    }
  }

  void draw_legend() {
    const double y = picture_.height - kMargin;
    double x = kMargin;
    const auto entry = [&](Rgb colour, Texture texture, const std::string& text) {
      if (x + 28 + measure_(text, false) > picture_.width) return;
      picture_.fill(x, y - kTextSize + 1, 22, kTextSize + 1, colour, texture);
      picture_.text(x + 28, y, text, shades_.faint);
      x += 28 + measure_(text, false) + kLine;
    };
    entry(kOrange, Texture::kPlain, kSlower);
    entry(kBlue, Texture::kPlain, kFaster);
    entry(kGrey, Texture::kPlain, "a step");
    if (w_.names.base_predicted || w_.names.run_predicted) entry(kGrey, Texture::kHatch, "predicted");
  }

  const Waterfall& w_;
  const TextWidth& measure_;
  const TimelineShades shades_;
  Picture picture_;
  Axis axis_;
  double label_ = 0, values_ = 0, top_ = 0, row_ = 0;
  bool show_values_ = false;
};

}  // namespace

Picture draw_waterfall(const Waterfall& waterfall, bool dark, double width, double height, const TextWidth& measure) {
  return Drawing(waterfall, dark, width, height, measure).draw();
}

}  // namespace shardscope::gui
