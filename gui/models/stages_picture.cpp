// The picture of stages.h.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gui/models/charts.h"
#include "gui/models/stages.h"
#include "gui/models/timeline_colours.h"
#include "gui/models/timeline_picture.h"

namespace shardscope::gui {
namespace {

constexpr double kMargin = 12, kLine = 18, kGap = 14, kNames = 190;
constexpr double kLanePart = 0.48, kMemoryPart = 0.26, kCommunicationPart = 0.13;  // of what the names leave
constexpr double kHighestPanel = 130, kLowestPanel = 34, kHighestLane = 26, kBar = 18;

/// A column of the small multiples: one axis for all panels.
struct Column {
  double x = 0, width = 0, most = 0;
  double part(double value) const { return most > 0 ? std::min(1.0, value / most) * (width - 4) : 0; }
};

class Drawing {
 public:
  Drawing(const StagesData& data, bool dark, double width, double height, const TextWidth& measure)
      : data_(data), measure_(measure), shades_(shades_of(dark)), picture_(width, height, shades_.ground) {}

  Picture draw() {
    const std::string title = "ZeRO stages side by side";
    picture_.text(kMargin, kMargin + kTextSize, title, shades_.text, true);
    const double after = kMargin + measure_(title, true) + kLine;
    const std::string remark =
        data_.remark.empty() ? fmt::format("the median step of rank {}", data_.rank) : data_.remark;
    picture_.text(after, kMargin + kTextSize, elide(remark, picture_.width - after - kMargin, measure_), shades_.faint);
    if (!data_.problem.empty() || data_.panels.empty()) {
      draw_paragraph(picture_, kMargin, kMargin + kTextSize + 2 * kLine, picture_.width - 2 * kMargin, data_.problem,
                     shades_.text, measure_);
      return std::move(picture_);
    }
    lay_out();
    draw_heads();
    for (std::size_t i = 0; i < data_.panels.size(); ++i) draw_panel(i);
    draw_legend();
    return std::move(picture_);
  }

  std::string describe_at(double x, double y) {
    if (!data_.problem.empty() || data_.panels.empty()) return {};
    lay_out();
    for (std::size_t i = 0; i < data_.panels.size(); ++i) {
      if (y >= panel_top(i) && y < panel_top(i + 1)) return describe_panel(data_.panels[i], x, y - panel_top(i) - 4);
    }
    return {};
  }

 private:
  std::string describe_panel(const StagePanel& panel, double x, double y) const {
    const RunSummary& s = panel.summary;
    if (!panel.problem.empty()) return panel.name + ": " + panel.problem;
    if (x >= tokens_.x)
      return fmt::format("{}: {:.0f} tokens/s, {} a step", panel.name, s.tokens_per_s, format_seconds(s.step_time_s));
    if (x >= communication_.x) {
      return fmt::format("{}: {} of communication that nothing hides, of {} in all", panel.name,
                         format_seconds(s.parts.exposed_communication_s), format_seconds(s.parts.communication_s));
    }
    if (x >= memory_.x) {
      std::string text = panel.name + ": " + format_bytes(static_cast<double>(s.peak_bytes)) + " at the peak";
      for (const MemoryRow& row : s.memory)
        text += fmt::format("\n{} {}", to_string(row.category), format_bytes(static_cast<double>(row.at_peak_bytes)));
      return text;
    }
    const auto lane = static_cast<std::size_t>(std::max(0.0, y) / lane_height(panel, panel_ - 6));
    if (x < lanes_.x || x >= lanes_.x + lanes_.width || lane >= panel.lanes.size()) return {};
    const std::int64_t slack = static_cast<std::int64_t>(2 * static_cast<double>(data_.window.length()) / lanes_.width);
    const LaneBar* bar = bar_at(panel.lanes[lane], time_at(x - lanes_.x, data_.window, lanes_.width), slack);
    if (bar == nullptr) return {};
    return fmt::format("{}, step {}: {} {}", panel.name, panel.step, bar->text,
                       format_seconds(1e-9 * static_cast<double>(bar->time.length())));
  }

  static double lane_height(const StagePanel& panel, double height) {
    const auto lanes = static_cast<double>(std::max<std::size_t>(1, panel.lanes.size()));
    return std::clamp(std::floor(height / lanes), 3.0, kHighestLane);
  }

  void lay_out() {
    const double rest = picture_.width - 2 * kMargin - kNames - 3 * kGap;
    double x = kMargin + kNames;
    const auto column = [&](double width, double most) {
      const Column made{std::round(x), std::floor(width), most};
      x += width + kGap;
      return made;
    };
    std::vector<RunSummary> runs;
    double memory = 0, exposed = 0, tokens = 0;
    for (const StagePanel& panel : data_.panels) {
      runs.push_back(panel.summary);
      memory = std::max({memory, static_cast<double>(panel.summary.peak_bytes),
                         static_cast<double>(panel.summary.run.device_memory_limit)});
      exposed = std::max(exposed, panel.summary.parts.exposed_communication_s);
      tokens = std::max(tokens, panel.summary.tokens_per_s);
    }
    chart_ = memory_chart(runs);
    lanes_ = column(stage_lane_pixels(picture_.width), 1);
    memory_ = column(rest * kMemoryPart, memory);
    communication_ = column(rest * kCommunicationPart, exposed);
    tokens_ = column(picture_.width - kMargin - x, tokens);
    top_ = kMargin + 3 * kLine + 10;
    const double room = picture_.height - top_ - 2 * kLine - kMargin - 10;
    panel_ = std::clamp(std::floor(room / static_cast<double>(data_.panels.size())), kLowestPanel, kHighestPanel);
  }

  double panel_top(std::size_t i) const { return top_ + static_cast<double>(i) * panel_; }

  void draw_heads() {
    const double baseline = kMargin + kTextSize + 2 * kLine - 6, ticks = baseline + 16,
                 bottom = panel_top(data_.panels.size());
    const auto head = [&](const Column& column, const char* text) {
      picture_.text(column.x, baseline, elide(text, column.width, measure_, true), shades_.text, true);
    };
    head(lanes_, "one step, time");
    head(memory_, "device memory at the peak");
    head(communication_, "exposed comm.");
    head(tokens_, "tokens/s");
    const TimeTicks times = time_ticks(data_.window, std::max(2, static_cast<int>(lanes_.width / 110)));
    for (std::size_t i = 0; i < times.at_ns.size(); ++i) {
      const double at = std::floor(lanes_.x + x_of(times.at_ns[i], data_.window, lanes_.width));
      picture_.fill(at, ticks - 4, 1, bottom - ticks + 4, shades_.line);
      if (at + 4 + measure_(times.texts[i], false) < lanes_.x + lanes_.width + kGap)
        picture_.text(at + 4, ticks + 2, times.texts[i], shades_.faint);
    }
    for (double tick : axis_ticks(memory_.most, BarUnit::kBytes, 3)) {
      if (tick > memory_.most) continue;
      picture_.text(memory_.x + memory_.part(tick), ticks + 2, format_bytes(tick), shades_.faint, false,
                    tick == 0 ? TextAnchor::kStart : TextAnchor::kMiddle);
    }
  }

  void draw_panel(std::size_t i) {
    const StagePanel& panel = data_.panels[i];
    const double top = panel_top(i) + 4, height = panel_ - 6;
    picture_.fill(kMargin, panel_top(i) - 1, picture_.width - 2 * kMargin, 1, shades_.line);
    picture_.text(kMargin, top + kTextSize, elide(panel.name, kNames - 70, measure_, true), shades_.text, true);
    if (!panel.problem.empty()) {
      picture_.text(lanes_.x, top + kTextSize, elide(panel.problem, picture_.width - lanes_.x - kMargin, measure_),
                    shades_.text);
      return;
    }
    const RunSummary& s = panel.summary;
    const bool predicted = s.run.predicted;
    if (height > 2 * kLine)
      picture_.text(kMargin, top + kTextSize + kLine - 2, format_seconds(s.step_time_s) + " a step", shades_.faint);
    if (height > 3 * kLine) {
      picture_.text(kMargin, top + kTextSize + 2 * kLine - 4,
                    predicted ? "predicted" : fmt::format("measured, step {}", panel.step), shades_.faint);
    }
    draw_lanes(panel, top, height);
    draw_memory(i, panel, top);
    draw_value(communication_, s.parts.exposed_communication_s, format_seconds(s.parts.exposed_communication_s),
               kVermilion, top, predicted);
    draw_value(tokens_, s.tokens_per_s, fmt::format("{:.0f}", s.tokens_per_s), kGreen, top, predicted);
  }

  void draw_lanes(const StagePanel& panel, double top, double height) {
    const double lane = lane_height(panel, height);
    double y = top;
    for (const LaneBars& bars : panel.lanes) {
      if (y + lane > top + height + 1) return;
      picture_.fill(lanes_.x, y, lanes_.width, lane - 1, shades_.row);
      if (lane >= kTextSize)
        picture_.text(lanes_.x - 8, y + lane / 2 + kTextSize * 0.36, bars.lane, shades_.faint, false, TextAnchor::kEnd);
      draw_lane(picture_, bars, data_.window, {lanes_.x, y, lanes_.width, lane - 1}, measure_,
                panel.summary.run.predicted);
      y += lane;
    }
  }

  /// By category, in the colours of the memory chart, with the limit of a device as a line.
  void draw_memory(std::size_t i, const StagePanel& panel, double top) {
    std::size_t bar = 0;  // the chart has none for runs without memory
    for (std::size_t j = 0; j < i; ++j) bar += data_.panels[j].summary.peak_bytes > 0 ? 1 : 0;
    if (panel.summary.peak_bytes <= 0 || bar >= chart_.bars.size()) {
      picture_.text(memory_.x, top + kTextSize, "none recorded", shades_.faint);
      return;
    }
    double at = 0;
    for (std::size_t c = 0; c < chart_.series.size(); ++c) {
      const double value = chart_.bars[bar].values[c], left = memory_.x + memory_.part(at),
                   right = memory_.x + memory_.part(at + value);
      picture_.fill(left, top, std::max(0.0, right - left - 0.5), kBar, chart_.series[c].colour,
                    panel.summary.run.predicted ? Texture::kHatch : Texture::kPlain);
      if (measure_(chart_.series[c].mark, false) + 4 < right - left)
        picture_.text(left + 3, top + kBar - 5, chart_.series[c].mark, text_colour_on(chart_.series[c].colour));
      at += value;
    }
    const std::int64_t limit = panel.summary.run.device_memory_limit;
    if (limit > 0) {
      picture_.line(memory_.x + memory_.part(static_cast<double>(limit)), top - 3,
                    memory_.x + memory_.part(static_cast<double>(limit)), top + kBar + 3, shades_.text, {.width = 2});
    }
    std::string text = format_bytes(at);
    if (limit > 0) {
      text += at > static_cast<double>(limit) ? ", over the limit of " + format_bytes(static_cast<double>(limit))
                                              : " of " + format_bytes(static_cast<double>(limit));
    }
    if (panel_ > kBar + kLine + 6)
      picture_.text(memory_.x, top + kBar + kTextSize + 3, elide(text, memory_.width, measure_), shades_.text);
  }

  void draw_value(const Column& column, double value, const std::string& text, Rgb colour, double top, bool predicted) {
    picture_.fill(column.x, top, std::max(1.0, column.part(value)), kBar, colour,
                  predicted ? Texture::kHatch : Texture::kPlain);
    if (panel_ > kBar + kLine + 6) {
      picture_.text(column.x, top + kBar + kTextSize + 3, elide(text, column.width, measure_), shades_.text);
    } else {
      picture_.text(column.x + 4, top + kBar - 5, elide(text, column.width, measure_), shades_.text);
    }
  }

  void draw_legend() {
    double at = kMargin, y = picture_.height - kMargin - kLine;
    const auto entry = [&](Rgb colour, Texture texture, const std::string& text) {
      if (at + 28 + measure_(text, false) > picture_.width - kMargin) return;
      picture_.fill(at, y - kTextSize + 1, 22, kTextSize + 1, colour, texture);
      picture_.text(at + 28, y, text, shades_.faint);
      at += 28 + measure_(text, false) + kLine;
    };
    picture_.text(at, y, "time:", shades_.text);
    at += measure_("memory:", false) + 10;
    WorkClasses seen{};
    for (const StagePanel& panel : data_.panels) add_classes(panel.lanes, seen);
    for (std::size_t c = 0; c < seen.size(); ++c) {
      const WorkLook look = look_of(static_cast<WorkClass>(c));
      if (seen[c]) entry(look.colour, look.texture, look.name);
    }
    at = kMargin;
    y += kLine;
    picture_.text(at, y, "memory:", shades_.text);
    at += measure_("memory:", false) + 10;
    for (const BarSeries& series : chart_.series)
      entry(series.colour, Texture::kPlain, series.name + " (" + series.mark + ")");
    entry(kGrey, Texture::kHatch, "predicted");
  }

  const StagesData& data_;
  const TextWidth& measure_;
  const TimelineShades shades_;
  Picture picture_;
  BarChart chart_;
  Column lanes_, memory_, communication_, tokens_;
  double top_ = 0, panel_ = 0;
};

}  // namespace

std::string describe_stage_at(const StagesData& data, double width, double height, const TextWidth& measure, double x,
                              double y) {
  return Drawing(data, false, width, height, measure).describe_at(x, y);
}

int stage_lane_pixels(double width) {
  return std::max(1, static_cast<int>((width - 2 * kMargin - kNames - 3 * kGap) * kLanePart));
}

Picture draw_stages(const StagesData& data, bool dark, double width, double height, const TextWidth& measure) {
  return Drawing(data, dark, width, height, measure).draw();
}

}  // namespace shardscope::gui
