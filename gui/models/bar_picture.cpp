#include "gui/models/bar_picture.h"

#include <algorithm>
#include <cmath>

#include "gui/models/timeline_colours.h"

namespace shardscope::gui {
namespace {

constexpr double kMargin = 12, kGap = 8, kLine = 18, kHighest = 28;

struct Place {
  double x, y, width, height;
};

/// Series that are nowhere have no place in a legend.
std::vector<std::size_t> used_series(const BarChart& chart) {
  std::vector<std::size_t> used;
  for (std::size_t s = 0; s < chart.series.size(); ++s) {
    const bool some = std::any_of(chart.bars.begin(), chart.bars.end(), [s](const Bar& b) { return b.values[s] > 0; });
    if (some) used.push_back(s);
  }
  return used;
}

/// Returns the y below it.
double draw_legend(Picture& picture, const BarChart& chart, const TimelineShades& shades, Place at,
                   const TextWidth& measure) {
  double x = at.x;
  for (std::size_t s : used_series(chart)) {
    const std::string text = chart.series[s].name + " (" + chart.series[s].mark + ")";
    const double wide = kTextSize + 4 + measure(text, false) + 2 * kGap;
    if (x > at.x && x + wide > at.x + at.width) {
      x = at.x;
      at.y += kLine;
    }
    picture.fill(x, at.y + 3, kTextSize, kTextSize, chart.series[s].colour);
    picture.text(x + kTextSize + 4, at.y + kTextSize + 1, text, shades.text);
    x += wide;
  }
  return at.y + kLine + kGap;
}

void draw_bar(Picture& picture, const BarChart& chart, const Bar& bar, Place at, double per_value,
              const TimelineShades& shades, const TextWidth& measure) {
  double x = at.x;
  const double baseline = at.y + at.height / 2 + kTextSize * 0.36;
  for (std::size_t s = 0; s < bar.values.size(); ++s) {
    const double end = x + bar.values[s] * per_value, left = std::round(x), right = std::round(end);
    const BarSeries& series = chart.series[s];
    picture.fill(left, at.y, right - left, at.height, series.colour, bar.predicted ? Texture::kHatch : Texture::kPlain);
    const double mark = measure(series.mark, false);
    if (right - left >= mark + 8 && at.height >= kTextSize + 2)
      picture.text((left + right - mark) / 2, baseline, series.mark, text_colour_on(series.colour));
    x = end;
  }
  std::string note = format_value(bar.total(), chart.unit) + (bar.note.empty() ? "" : ", " + bar.note);
  picture.text(x + 6, baseline, elide(note, at.x + at.width - x - 6, measure), shades.faint);
}

void draw_chart(Picture& picture, const BarChart& chart, const TimelineShades& shades, Place at,
                const TextWidth& measure) {
  picture.text(at.x, at.y + kTextSize, elide(chart.title, at.width, measure, true), shades.text, true);
  if (chart.bars.empty()) {
    picture.text(at.x, at.y + kLine + kTextSize, elide(chart.empty_text, at.width, measure), shades.faint);
    return;
  }
  double y = draw_legend(picture, chart, shades, {at.x, at.y + kLine, at.width, 0}, measure), names = 0, notes = 0;
  const auto name_of = [](const Bar& bar) { return bar.predicted ? bar.label + " predicted" : bar.label; };
  for (const Bar& bar : chart.bars) {
    names = std::max(names, measure(name_of(bar), false));
    notes = std::max(notes, measure(format_value(bar.total(), chart.unit) + ", " + bar.note, false));
  }
  names = std::min(names, at.width / 3);
  notes = std::min(notes, at.width / 3);
  const double room = std::max(1.0, at.width - names - kGap), longest = chart.longest();
  const double per_value = longest > 0 ? std::max(0.0, room - notes - kGap) / longest : 0;
  const double row = std::min(kHighest, (at.y + at.height - y) / static_cast<double>(chart.bars.size()));
  for (const Bar& bar : chart.bars) {
    const double high = std::max(1.0, std::floor(row - (row > 6 ? 4 : 1)));
    if (row >= kTextSize)
      picture.text(at.x, y + high / 2 + kTextSize * 0.36, elide(name_of(bar), names, measure), shades.text);
    draw_bar(picture, chart, bar, {at.x + names + kGap, std::round(y), room, high}, per_value, shades, measure);
    y += row;
  }
}

}  // namespace

Picture draw_bars(const std::vector<BarChart>& charts, bool dark, double width, double height,
                  const TextWidth& measure) {
  const TimelineShades shades = shades_of(dark);
  Picture picture(width, height, shades.ground);
  const double wide = (width - kMargin) / static_cast<double>(std::max<std::size_t>(1, charts.size()));
  for (std::size_t i = 0; i < charts.size(); ++i) {
    const Place at{kMargin + static_cast<double>(i) * wide, kMargin, wide - kMargin, height - 2 * kMargin};
    draw_chart(picture, charts[i], shades, at, measure);
  }
  return picture;
}

}  // namespace shardscope::gui
