#include "gui/models/memory_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gui/models/colour_map.h"
#include "gui/models/memory_looks.h"
#include "gui/models/memory_rows.h"
#include "gui/models/memory_why.h"
#include "gui/models/timeline_colours.h"

namespace shardscope::gui {
namespace {

constexpr double kMargin = 10, kLine = 18, kGap = 6, kTickWidth = 110;
constexpr double kBaseline = kTextSize * 0.36;  ///< from the middle of a line of text down

bool shows_live(const MemoryData& data) { return data.at_cursor && !data.at_cursor->rows.empty(); }

/// Of the peaks at the side: what is below them has its room first.
double peaks_height(const MemoryData& data, const MemoryFrame& frame) {
  const double room = frame.bottom - frame.top, wanted = static_cast<double>(data.peaks.size()) * kPeakBarHeight;
  if (shows_live(data)) return std::min(wanted, std::floor(room * 0.45));
  if (!data.why) return std::min(wanted, room);
  return std::min(wanted, std::max(kPeakBarHeight, std::floor(room - why_height(*data.why) - 2 * kLine)));
}

class Drawing {
 public:
  Drawing(const MemoryData& data, const MemoryState& state, double width, double height, const TextWidth& measure)
      : data_(data),
        state_(state),
        measure_(measure),
        shades_(shades_of(state.dark)),
        frame_(memory_frame(data.ranks.size(), state.ranks, width, height)),
        scale_(memory_scale(data, state)),
        picture_(width, height, shades_.ground) {}

  Picture draw(const TimelineTitle& title) {
    draw_title(title);
    if (data_.ranks.empty()) {
      draw_nothing();
      return std::move(picture_);
    }
    draw_ruler();
    for (std::size_t i = 0; i < shown_panels(); ++i) draw_panel(data_.panels[i], static_cast<int>(i));
    if (frame_.heat_height > 0 && !data_.overview.ranks.empty()) draw_heat();
    draw_cursor();
    if (frame_.side_width > 0) draw_side();
    draw_legend();
    return std::move(picture_);
  }

 private:
  double x(std::int64_t ns) const {
    return frame_.left + std::clamp(x_of(ns, data_.window, frame_.width), 0.0, frame_.width);
  }
  /// Data that was read for another size may have more.
  std::size_t shown_panels() const { return std::min(data_.panels.size(), static_cast<std::size_t>(frame_.panels)); }
  std::string time_text(std::int64_t ns) const { return memory_time_text(ns, data_.window); }
  double draw_text(double at, double baseline, double right, const std::string& text, Rgb colour, bool bold = false);
  void draw_title(const TimelineTitle& title);
  void draw_nothing();
  void draw_ruler();
  void draw_panel(const MemoryPanel& panel, int place);
  void draw_panel_text(const MemoryPanel& panel, double baseline);
  void draw_scale(double top, double height);
  void draw_limit(const MemoryPanel& panel, double top, double height);
  void draw_cursor();
  void draw_heat();
  void draw_heat_text();
  void draw_side();
  void draw_live(double top);
  void draw_legend();

  const MemoryData& data_;
  const MemoryState& state_;
  const TextWidth& measure_;
  const TimelineShades shades_;
  const MemoryFrame frame_;
  const double scale_;  ///< bytes at the top of each panel
  Picture picture_;
};

/// Elided to end before `right`; where the next text may begin.
double Drawing::draw_text(double at, double baseline, double right, const std::string& text, Rgb colour, bool bold) {
  const std::string fits = elide(text, right - at, measure_, bold);
  picture_.text(at, baseline, fits, colour, bold);
  return at + measure_(fits, bold) + 2 * kGap;
}

void Drawing::draw_title(const TimelineTitle& title) {
  const double baseline = kMargin + kTextSize, right = picture_.width - kMargin;
  double at = kMargin;
  if (title.predicted) {
    picture_.fill(at, kMargin, kTextSize, kTextSize, kGrey, Texture::kHatch);
    at += kTextSize + kGap;
  }
  at = draw_text(at, baseline, picture_.width * 0.5, title.name, shades_.text, true);
  at = draw_text(at, baseline, right, title.remark, shades_.faint);
  std::string about = name_of(state_.space) + " memory";
  if (data_.first_over_rank >= 0) {
    about +=
        fmt::format(", over the limit first on rank {} at {}", data_.first_over_rank, time_text(data_.first_over_ns));
  } else if (data_.limit_bytes > 0 && data_.window == data_.extent) {
    about += ", never over the limit";
  }
  if (at < right) draw_text(at, baseline, right, about, shades_.text);
}

void Drawing::draw_nothing() {
  std::string text = "This run has no memory rows: none were recorded. train --profile RUN.db records them.";
  if (!data_.spaces.empty()) {
    text = "No rank of this run holds anything in " + name_of(state_.space) + " memory. There is:";
    for (Space space : data_.spaces) text += (space == data_.spaces.front() ? " " : ", ") + name_of(space);
    text += ".";
  }
  draw_paragraph(picture_, kMargin, frame_.top + kLine, picture_.width - 2 * kMargin, text, shades_.text, measure_);
}

void Drawing::draw_ruler() {
  const TimeTicks ticks = time_ticks(data_.window, std::max(2, static_cast<int>(frame_.width / kTickWidth)));
  const double baseline = frame_.top - kGap - 4;
  draw_text(kMargin, baseline, frame_.left - kGap, ticks.base.empty() ? "time" : ticks.base, shades_.faint);
  for (std::size_t i = 0; i < ticks.at_ns.size(); ++i) {
    const double at = std::floor(x(ticks.at_ns[i]));
    picture_.fill(at, baseline - kTextSize, 1, kTextSize + 4, shades_.line);
    if (at + 4 + measure_(ticks.texts[i], false) < frame_.left + frame_.width)
      picture_.text(at + 4, baseline, ticks.texts[i], shades_.faint);
  }
}

void Drawing::draw_scale(double top, double height) {
  const std::vector<double> ticks =
      axis_ticks(scale_ / 1.05, BarUnit::kBytes, std::max(2, static_cast<int>(height / 28)));
  for (double bytes : ticks) {
    if (bytes > scale_) continue;
    const double at = std::round(top + height - bytes / scale_ * height);
    picture_.fill(frame_.left - 4, at, frame_.width + 4, 1, shades_.line);
    picture_.text(frame_.left - kGap, std::max(at + kBaseline, top + kTextSize * 0.8), format_bytes(bytes),
                  shades_.faint, false, TextAnchor::kEnd);
  }
}

void Drawing::draw_panel_text(const MemoryPanel& panel, double baseline) {
  const double right = frame_.left + frame_.width;
  double at = draw_text(kMargin, baseline, right, "rank " + std::to_string(panel.peak.rank), shades_.text, true);
  at = std::max(at, frame_.left);
  std::string peak = "peak " + format_bytes(static_cast<double>(panel.peak.peak_bytes));
  if (panel.peak.predicted_bytes > 0)
    peak += " (predicted " + format_bytes(static_cast<double>(panel.peak.predicted_bytes)) + ")";
  if (panel.peak_at) peak += " " + where_text(*panel.peak_at);
  if (panel.over) peak += "; over the limit " + where_text(*panel.over);
  draw_text(at, baseline, right, peak, panel.over ? shades_.text : shades_.faint);
}

void Drawing::draw_limit(const MemoryPanel& panel, double top, double height) {
  if (data_.limit_bytes <= 0) return;
  const double limit = static_cast<double>(data_.limit_bytes);
  const std::string text = "limit " + format_bytes(limit);
  const bool inside = limit <= scale_;
  const double at = inside ? std::round(top + height - limit / scale_ * height) : top;
  if (inside) {
    picture_.fill(frame_.left, at - 2, frame_.width, 4, shades_.ground);
    picture_.fill(frame_.left, at - 1, frame_.width, 2, shades_.text);
  }
  const double wide = measure_(text, false) + 8, left = frame_.left + frame_.width - wide;
  const double box = std::max(top, at - kTextSize - 5);
  picture_.fill(left, box, wide, kTextSize + 3, shades_.ground);
  picture_.text(left + 4, box + kTextSize - 1, inside ? text : text + " ↑", shades_.text);
  if (!panel.over || panel.over->instant.time_ns < data_.window.begin_ns ||
      panel.over->instant.time_ns > data_.window.end_ns || !inside)
    return;
  const double over = x(panel.over->instant.time_ns);
  picture_.disc(over, at, 5, shades_.ground);
  picture_.ring(over, at, 5, shades_.text, 2);
}

void Drawing::draw_panel(const MemoryPanel& panel, int place) {
  const double top = frame_.area_top(place), height = std::max(1.0, frame_.area_height());
  draw_panel_text(panel, top - kGap);
  picture_.fill(frame_.left, top, frame_.width, height, shades_.row);
  draw_scale(top, height);
  const AreaPlace area{frame_.left, top, frame_.width, height, scale_};
  draw_stack(picture_, panel.stretches, data_.window, state_.hidden, area, measure_);
  draw_lowest(picture_, panel.stretches, data_.window, state_.hidden, area, shades_.text);
  draw_predicted(picture_, panel.predicted, data_.window, area, shades_);
  draw_limit(panel, top, height);
}

void Drawing::draw_cursor() {
  if (!state_.cursor) return;
  const std::int64_t at_ns = state_.cursor->time_ns;
  if (at_ns < data_.window.begin_ns || at_ns > data_.window.end_ns) return;
  const double at = std::floor(x(at_ns));
  picture_.fill(at, frame_.heat_top, 1, frame_.heat_height, shades_.text);
  for (std::size_t i = 0; i < shown_panels(); ++i) {  // not through what is written above each
    const double top = frame_.area_top(static_cast<int>(i));
    picture_.fill(at, top, 1, std::max(1.0, frame_.area_height()), shades_.text);
    if (data_.panels[i].peak.rank != state_.cursor->rank) continue;
    picture_.polygon(std::vector<Point>{{static_cast<float>(at - 4), static_cast<float>(top - 1)},
                                        {static_cast<float>(at + 5), static_cast<float>(top - 1)},
                                        {static_cast<float>(at + 0.5), static_cast<float>(top + 6)}},
                     shades_.text);
  }
}

void Drawing::draw_heat_text() {
  const double baseline = frame_.heat_top - kGap - 1;
  double at = draw_text(kMargin, baseline, frame_.left + frame_.width, fmt::format("all {} ranks", data_.ranks.size()),
                        shades_.text, true);
  at = std::max(at, frame_.left);
  const double most = heat_scale(data_);
  at = draw_text(at, baseline, frame_.left + frame_.width, "highest live bytes: 0", shades_.faint) - kGap;
  constexpr int kSteps = 40;
  if (at + kSteps * 2 + 160 < frame_.left + frame_.width) {
    for (int i = 0; i < kSteps; ++i)
      picture_.fill(at + i * 2, baseline - kTextSize + 2, 2, kTextSize, cividis(i / (kSteps - 1.0)));
    at += kSteps * 2 + kGap;
    at = draw_text(at, baseline, frame_.left + frame_.width,
                   format_bytes(most) + (data_.limit_bytes > 0 ? ", the limit" : ", the highest peak"), shades_.faint);
  }
  if (data_.limit_bytes <= 0 || at + 140 > frame_.left + frame_.width) return;
  picture_.fill(at, baseline - kTextSize + 2, kTextSize, kTextSize, kVermilion);
  at = draw_text(at + kTextSize + kGap, baseline, frame_.left + frame_.width, "over it", shades_.faint);
  picture_.ring(at + 5, baseline - 4, 4.5, shades_.text, 1.5);
  draw_text(at + 16, baseline, frame_.left + frame_.width, "first over", shades_.faint);
}

void Drawing::draw_heat() {
  draw_heat_text();
  picture_.fill(frame_.left, frame_.heat_top, frame_.width, frame_.heat_height, shades_.row);
  draw_heat_rows(picture_, data_, {frame_.left, frame_.heat_top, frame_.width, frame_.heat_height, heat_scale(data_)},
                 shades_);
  const auto label = [&](int rank, double baseline) {
    picture_.text(frame_.left - kGap, baseline, "rank " + std::to_string(rank), shades_.faint, false, TextAnchor::kEnd);
  };
  label(data_.ranks.front(), frame_.heat_top + kTextSize - 1);
  if (frame_.heat_height >= 2 * kTextSize + 2) label(data_.ranks.back(), frame_.heat_top + frame_.heat_height - 2);
}

void Drawing::draw_side() {
  const double right = frame_.side_left + frame_.side_width;
  draw_text(frame_.side_left, frame_.top - kGap - 4, right, "Peak by rank, highest first", shades_.text, true);
  const bool with_live = shows_live(data_);
  const double height = peaks_height(data_, frame_);
  draw_peak_bars(picture_, data_, {frame_.side_left, frame_.top, frame_.side_width, height}, shades_, measure_);
  const double top = frame_.top + height + kLine;
  if (with_live) return draw_live(top);
  if (!data_.why) return;
  draw_text(
      frame_.side_left, top, right,
      fmt::format("Why rank {} is over the limit at {}", data_.why->rank, time_text(data_.why->mark.instant.time_ns)),
      shades_.text, true);
  draw_why(picture_, *data_.why, data_.limit_bytes,
           {frame_.side_left, top + kGap, frame_.side_width, frame_.bottom - top - kGap}, shades_, measure_);
}

void Drawing::draw_live(double top) {
  const double right = frame_.side_left + frame_.side_width;
  const LiveAllocations& live = *data_.at_cursor;
  double baseline = top;
  draw_text(frame_.side_left, baseline, right,
            fmt::format("Live on rank {} at {}: {}", state_.cursor->rank, time_text(state_.cursor->time_ns),
                        format_bytes(static_cast<double>(live.instant.total_bytes))),
            shades_.text, true);
  if (live.matched) {
    baseline += kLine;
    draw_text(frame_.side_left, baseline, right, "matched by size: the file does not name its buffers", shades_.faint);
  }
  for (std::size_t i = 0; i < live.rows.size(); ++i) {
    baseline += kLine;
    if (baseline + kLine > frame_.bottom && i + 1 < live.rows.size()) {
      draw_text(frame_.side_left, baseline, right, fmt::format("and {} more", live.rows.size() - i), shades_.faint);
      return;
    }
    const LiveAllocation& a = live.rows[i];
    picture_.fill(frame_.side_left, baseline - kTextSize + 2, 8, kTextSize, look_of(a.category).colour);
    picture_.text(frame_.side_left + 84, baseline, format_bytes(static_cast<double>(a.bytes)), shades_.text, false,
                  TextAnchor::kEnd);
    draw_text(frame_.side_left + 92, baseline, right, live_text(a), shades_.faint);
  }
}

void Drawing::draw_legend() {
  const double baseline = picture_.height - kMargin, right = picture_.width - kMargin;
  for (const LegendItem& item : memory_legend(data_, state_, picture_.width, picture_.height, measure_)) {
    const double top = baseline - kTextSize + 1;
    if (item.kind == LegendItem::Kind::kCategory) {
      const MemoryLook& look = look_of(item.category);
      item.hidden ? picture_.frame(item.x, top, 22, kTextSize + 1, look.colour)
                  : picture_.fill(item.x, top, 22, kTextSize + 1, look.colour);
    } else if (item.kind == LegendItem::Kind::kPredicted) {
      picture_.line(item.x, baseline - 4, item.x + 22, baseline - 4, shades_.text, {2, true});
    } else {
      picture_.line(item.x, baseline - 4, item.x + 22, baseline - 4, shades_.text);
    }
    draw_text(item.x + 22 + kGap, baseline, right, item.text, item.hidden ? shades_.line : shades_.faint);
  }
}

}  // namespace

Picture draw_memory(const MemoryData& data, const TimelineTitle& title, const MemoryState& state, double width,
                    double height, const TextWidth& measure) {
  return Drawing(data, state, width, height, measure).draw(title);
}

namespace {

/// Which rank has a row of the heat map.
int heat_rank(const MemoryData& data, const MemoryFrame& frame, double y) {
  const auto count = static_cast<double>(data.ranks.size());
  const double row = std::floor((y - frame.heat_top) / frame.heat_height * count);
  return data.ranks[static_cast<std::size_t>(std::clamp(row, 0.0, count - 1))];
}

}  // namespace

MemoryHit hit_memory(const MemoryData& data, const MemoryState& state, double width, double height,
                     const TextWidth& measure, double x, double y) {
  MemoryHit hit;
  if (data.ranks.empty()) return hit;
  const MemoryFrame frame = memory_frame(data.ranks.size(), state.ranks, width, height);
  if (y > frame.bottom) {
    for (const LegendItem& item : memory_legend(data, state, width, height, measure)) {
      if (item.kind != LegendItem::Kind::kCategory || x < item.x || x > item.x + item.width) continue;
      hit.part = MemoryHit::Part::kLegend;
      hit.category = item.category;
    }
    return hit;
  }
  if (frame.side_width > 0 && x >= frame.side_left) {
    const auto bar = static_cast<std::size_t>(std::max(0.0, (y - frame.top) / kPeakBarHeight));
    if (y < frame.top || y >= frame.top + peaks_height(data, frame) || bar >= data.peaks.size()) return hit;
    hit.part = MemoryHit::Part::kPeak;
    hit.rank = data.peaks[bar].rank;
    return hit;
  }
  if (x < frame.left || x > frame.left + frame.width || y < frame.top) return hit;
  hit.time_ns = std::clamp(time_at(x - frame.left, data.window, frame.width), data.window.begin_ns, data.window.end_ns);
  if (frame.heat_height > 0 && y >= frame.heat_top) {
    hit.part = MemoryHit::Part::kHeat;
    hit.rank = heat_rank(data, frame, y);
    return hit;
  }
  const auto panel = static_cast<std::size_t>((y - frame.top) / frame.panel_height);
  if (panel >= data.panels.size() || panel >= static_cast<std::size_t>(frame.panels)) return hit;
  hit.part = MemoryHit::Part::kPanel;
  hit.rank = data.panels[panel].peak.rank;
  return hit;
}

namespace {

std::string parts_text(const MemoryParts& parts) {
  std::string text;
  for (const MemoryLook& look : kMemoryLooks) {
    const std::int64_t bytes = parts[static_cast<std::size_t>(look.category)];
    if (bytes > 0) text += fmt::format("\n{}: {}", look.name, format_bytes(static_cast<double>(bytes)));
  }
  return text;
}

std::string of_limit(const MemoryData& data, std::int64_t bytes) {
  std::string text = format_bytes(static_cast<double>(bytes));
  if (data.limit_bytes <= 0) return text;
  return text + (bytes > data.limit_bytes ? ", over the limit of " : " of ") +
         format_bytes(static_cast<double>(data.limit_bytes));
}

}  // namespace

std::string describe(const MemoryData& data, const MemoryHit& hit) {
  const std::string head = fmt::format("rank {}, {}: ", hit.rank, memory_time_text(hit.time_ns, data.window));
  if (hit.part == MemoryHit::Part::kPanel) {
    for (const MemoryPanel& panel : data.panels) {
      if (panel.peak.rank != hit.rank) continue;
      for (const MemoryStretch& s : panel.stretches) {
        if (hit.time_ns >= s.time.begin_ns && hit.time_ns < s.time.end_ns)
          return head + of_limit(data, s.highest) + parts_text(s.parts);
      }
    }
  }
  if (hit.part == MemoryHit::Part::kHeat) {
    const auto row = std::lower_bound(data.overview.ranks.begin(), data.overview.ranks.end(), hit.rank);
    if (row == data.overview.ranks.end() || *row != hit.rank) return {};
    const auto& highest = data.overview.highest[static_cast<std::size_t>(row - data.overview.ranks.begin())];
    const auto column =
        static_cast<std::size_t>((hit.time_ns - data.overview.window.begin_ns) / data.overview.column_ns);
    return column < highest.size() ? head + of_limit(data, highest[column]) : std::string();
  }
  if (hit.part == MemoryHit::Part::kPeak) {
    for (const MemoryPeakBar& bar : data.peaks) {
      if (bar.rank != hit.rank) continue;
      std::string text = fmt::format("rank {}, peak: ", hit.rank) + of_limit(data, bar.peak_bytes);
      if (bar.predicted_bytes > 0) text += ", predicted " + format_bytes(static_cast<double>(bar.predicted_bytes));
      return text + parts_text(bar.at_peak);
    }
  }
  return {};
}

}  // namespace shardscope::gui
