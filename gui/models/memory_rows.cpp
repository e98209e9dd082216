#include "gui/models/memory_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "gui/models/colour_map.h"
#include "gui/models/memory_looks.h"
#include "gui/models/timeline_picture.h"

namespace shardscope::gui {
namespace {

constexpr double kMargin = 10, kGap = 6;
constexpr double kHeadroom = 1.06;    ///< of a panel above the highest
constexpr double kFarthestLimit = 3;  ///< times the highest peak, above which a limit is not in the picture
constexpr int kHeatColours = 64;

std::size_t index(Category category) { return static_cast<std::size_t>(category); }

float to_float(double value) { return static_cast<float>(value); }

std::int64_t visible(const MemoryParts& parts, const std::set<Category>& hidden) {
  std::int64_t sum = total(parts);
  for (Category category : hidden) sum -= parts[index(category)];
  return sum;
}

/// A stretch in pixels: its edges, and where each category ends, from the bottom up.
struct Column {
  double left = 0, right = 0;
  std::array<double, kCategories + 1> y{};  ///< y[i] to y[i + 1]: the i-th look
};

std::vector<Column> columns_of(const std::vector<MemoryStretch>& stretches, TimeWindow window,
                               const std::set<Category>& hidden, const AreaPlace& place) {
  std::vector<Column> columns;
  for (const MemoryStretch& s : stretches) {
    Column column{
        place.x + x_of(s.time.begin_ns, window, place.width), place.x + x_of(s.time.end_ns, window, place.width), {}};
    double sum = 0;
    column.y[0] = place.y + place.height;
    for (std::size_t i = 0; i < kMemoryLooks.size(); ++i) {
      const Category category = kMemoryLooks[i].category;
      if (!hidden.contains(category)) sum += static_cast<double>(s.parts[index(category)]);
      column.y[i + 1] = place.y + place.height - std::min(1.0, sum / place.scale) * place.height;
    }
    if (!columns.empty() && columns.back().y == column.y) {
      columns.back().right = column.right;
    } else {
      columns.push_back(column);
    }
  }
  return columns;
}

void draw_area(Picture& picture, const std::vector<Column>& columns, std::size_t look) {
  std::vector<Point> corners;
  for (const Column& c : columns) {
    corners.push_back({to_float(c.left), to_float(c.y[look + 1])});
    corners.push_back({to_float(c.right), to_float(c.y[look + 1])});
  }
  for (auto c = columns.rbegin(); c != columns.rend(); ++c) {
    corners.push_back({to_float(c->right), to_float(c->y[look])});
    corners.push_back({to_float(c->left), to_float(c->y[look])});
  }
  picture.polygon(corners, kMemoryLooks[look].colour);
}

/// Writes the mark at the first place where the area is high enough for the mark's whole width.
void write_mark(Picture& picture, const std::vector<Column>& columns, std::size_t look, const TextWidth& measure) {
  const double wide = measure(kMemoryLooks[look].mark, false) + 8;
  constexpr double kHigh = kTextSize + 1;
  double from = 0, bottom = 0, top = 0;
  bool open = false;
  for (const Column& c : columns) {
    const bool starts = !open || std::min(bottom, c.y[look]) - std::max(top, c.y[look + 1]) < kHigh;
    if (starts) from = c.left;
    bottom = starts ? c.y[look] : std::min(bottom, c.y[look]);
    top = starts ? c.y[look + 1] : std::max(top, c.y[look + 1]);
    open = bottom - top >= kHigh;
    if (!open || c.right - from < wide) continue;
    picture.text(std::ceil(from) + 4, std::round((bottom + top) / 2 + kTextSize * 0.36), kMemoryLooks[look].mark,
                 text_colour_on(kMemoryLooks[look].colour));
    return;
  }
}

/// Steps through (x, bytes), as a line.
void draw_steps(Picture& picture, const std::vector<std::pair<double, double>>& points, const AreaPlace& place,
                Rgb colour, LineLook look) {
  std::vector<Point> through;
  double y = 0;
  for (const auto& [x, bytes] : points) {
    if (!through.empty()) through.push_back({to_float(x), to_float(y)});
    y = place.y + place.height - std::min(1.0, bytes / place.scale) * place.height;
    through.push_back({to_float(x), to_float(y)});
  }
  picture.line(through, colour, look);
}

}  // namespace

double memory_scale(const MemoryData& data, const MemoryState& state) {
  std::int64_t highest = 0;
  for (const MemoryPanel& panel : data.panels) {
    for (const MemoryStretch& s : panel.stretches) highest = std::max(highest, visible(s.parts, state.hidden));
    if (state.hidden.empty()) {
      highest = std::max(highest, panel.peak.peak_bytes);
      for (const MemoryPoint& p : panel.predicted) highest = std::max(highest, p.bytes);
    }
  }
  const double most = static_cast<double>(std::max<std::int64_t>(1, highest));
  const double limit = static_cast<double>(data.limit_bytes);
  return (limit <= most * kFarthestLimit ? std::max(most, limit) : most) * kHeadroom;
}

double heat_scale(const MemoryData& data) {
  if (data.limit_bytes > 0) return static_cast<double>(data.limit_bytes);
  return data.peaks.empty() ? 1 : static_cast<double>(std::max<std::int64_t>(1, data.peaks.front().peak_bytes));
}

void draw_stack(Picture& picture, const std::vector<MemoryStretch>& stretches, TimeWindow window,
                const std::set<Category>& hidden, const AreaPlace& place, const TextWidth& measure) {
  const std::vector<Column> columns = columns_of(stretches, window, hidden, place);
  const auto holds = [&](std::size_t look) {
    return std::any_of(columns.begin(), columns.end(), [look](const Column& c) { return c.y[look + 1] < c.y[look]; });
  };
  for (std::size_t look = 0; look < kMemoryLooks.size(); ++look) {
    if (holds(look)) draw_area(picture, columns, look);
  }
  for (std::size_t look = 0; look < kMemoryLooks.size(); ++look) {
    if (holds(look)) write_mark(picture, columns, look, measure);
  }
}

void draw_lowest(Picture& picture, const std::vector<MemoryStretch>& stretches, TimeWindow window,
                 const std::set<Category>& hidden, const AreaPlace& place, Rgb colour) {
  if (!hidden.empty()) return;
  std::vector<std::pair<double, double>> points;
  const auto flush = [&] {
    if (points.size() > 1) draw_steps(picture, points, place, colour, {});
    points.clear();
  };
  for (const MemoryStretch& s : stretches) {
    const double bytes = static_cast<double>(s.lowest);
    if (s.lowest == s.highest) {
      flush();
      continue;
    }
    points.emplace_back(place.x + x_of(s.time.begin_ns, window, place.width), bytes);
    points.emplace_back(place.x + x_of(s.time.end_ns, window, place.width), bytes);
  }
  flush();
}

void draw_predicted(Picture& picture, const std::vector<MemoryPoint>& points, TimeWindow window, const AreaPlace& place,
                    const TimelineShades& shades) {
  std::vector<std::pair<double, double>> line;
  for (const MemoryPoint& p : points) {
    if (p.time_ns > window.end_ns) break;
    if (p.time_ns <= window.begin_ns) line.clear();  // what holds at the edge
    const double x = std::max(0.0, x_of(p.time_ns, window, place.width));
    line.emplace_back(place.x + x, static_cast<double>(p.bytes));
  }
  draw_steps(picture, line, place, shades.ground, {4, false});  // a rim, so that it can be seen on every colour
  draw_steps(picture, line, place, shades.text, {2, true});
}

void draw_heat_rows(Picture& picture, const MemoryData& data, const AreaPlace& place, const TimelineShades& shades) {
  const std::size_t ranks = data.overview.ranks.size();
  const std::size_t rows = std::min(ranks, static_cast<std::size_t>(std::max(1.0, place.height)));
  std::vector<std::pair<double, double>> first_over;
  for (std::size_t row = 0; row < rows; ++row) {
    const double top = place.y + std::round(place.height * static_cast<double>(row) / static_cast<double>(rows)),
                 bottom = place.y + std::round(place.height * static_cast<double>(row + 1) / static_cast<double>(rows));
    std::vector<std::int64_t> cells = data.overview.highest[row * ranks / rows];
    for (std::size_t r = row * ranks / rows + 1; r < (row + 1) * ranks / rows; ++r) {
      for (std::size_t c = 0; c < cells.size(); ++c) cells[c] = std::max(cells[c], data.overview.highest[r][c]);
    }
    const auto shade = [&](std::int64_t bytes) {
      if (data.limit_bytes > 0 && bytes > data.limit_bytes) return kHeatColours;
      return static_cast<int>(static_cast<double>(bytes) / place.scale * (kHeatColours - 1));
    };
    const double gap = bottom - top >= 8 ? 1 : 0;
    const auto x_at = [&](std::size_t c) {
      const std::int64_t ns = data.overview.window.begin_ns + static_cast<std::int64_t>(c) * data.overview.column_ns;
      return place.x + std::round(std::min(place.width, x_of(ns, data.overview.window, place.width)));
    };
    bool over = false;
    for (std::size_t c = 0; c < cells.size();) {
      std::size_t end = c + 1;
      const int colour = shade(cells[c]);
      while (end < cells.size() && shade(cells[end]) == colour) ++end;
      const double left = x_at(c);
      picture.fill(left, top, x_at(end) - left, bottom - top - gap,
                   colour == kHeatColours ? kVermilion : cividis(colour / (kHeatColours - 1.0)));
      if (colour == kHeatColours && !over) first_over.emplace_back(left, (top + bottom - gap) / 2);
      over = over || colour == kHeatColours;
      c = end;
    }
  }
  const double radius = std::min(5.0, place.height / static_cast<double>(rows) / 2 - 1);
  for (const auto& [x, y] : first_over) {
    if (radius < 2) {
      picture.fill(x, std::floor(y), 2, 1, shades.ground);
      continue;
    }
    const double at = std::clamp(x, place.x + radius, place.x + place.width - radius);
    picture.disc(at, y, radius, shades.ground);
    picture.ring(at, y, radius, shades.text, 1.5);
  }
}

namespace {

void draw_bar(Picture& picture, const MemoryParts& parts, double x, double y, double height, double pixels_per_byte,
              Texture texture, const TextWidth& measure) {
  double at = x;
  for (const MemoryLook& look : kMemoryLooks) {
    const double wide = static_cast<double>(parts[index(look.category)]) * pixels_per_byte;
    const double left = std::round(at), right = std::round(at + wide);
    picture.fill(left, y, right - left, height, look.colour, texture);
    if (texture == Texture::kPlain && height > kTextSize && measure(look.mark, false) + 6 < right - left)
      picture.text(left + 4, y + height / 2 + kTextSize * 0.36, look.mark, text_colour_on(look.colour));
    at += wide;
  }
}

}  // namespace

void draw_peak_bars(Picture& picture, const MemoryData& data, const PeakBarsPlace& place, const TimelineShades& shades,
                    const TextWidth& measure) {
  const auto count =
      std::min(data.peaks.size(), static_cast<std::size_t>(std::max(0.0, place.height / kPeakBarHeight)));
  if (count == 0) return;
  double label = 0, most = 0, number = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const MemoryPeakBar& bar = data.peaks[i];
    label = std::max(label, measure(std::to_string(bar.rank), false));
    number = std::max(number, measure(format_bytes(static_cast<double>(bar.peak_bytes)), false));
    most = std::max({most, static_cast<double>(bar.peak_bytes), static_cast<double>(bar.predicted_bytes)});
  }
  const double limit = static_cast<double>(data.limit_bytes);
  const bool with_limit = limit > 0 && limit <= most * kFarthestLimit;
  if (with_limit) most = std::max(most, limit);
  const double left = place.x + label + kGap, wide = std::max(1.0, place.width - label - number - 3 * kGap);
  for (std::size_t i = 0; i < count; ++i) {
    const MemoryPeakBar& bar = data.peaks[i];
    const double top = place.y + static_cast<double>(i) * kPeakBarHeight;
    picture.text(left - kGap, top + 13, std::to_string(bar.rank), shades.faint, false, TextAnchor::kEnd);
    draw_bar(picture, bar.at_peak, left, top, 17, wide / most, Texture::kPlain, measure);
    if (bar.predicted_bytes > 0)
      draw_bar(picture, bar.predicted_at_peak, left, top + 18, 7, wide / most, Texture::kHatch, measure);
    const double end = std::max(static_cast<double>(bar.peak_bytes),
                                with_limit && static_cast<double>(bar.peak_bytes) > limit * 0.7 ? limit : 0);
    picture.text(left + end / most * wide + kGap, top + 13, format_bytes(static_cast<double>(bar.peak_bytes)),
                 data.limit_bytes > 0 && bar.peak_bytes > data.limit_bytes ? shades.text : shades.faint,
                 data.limit_bytes > 0 && bar.peak_bytes > data.limit_bytes);
  }
  if (!with_limit) return;
  const double at = std::round(left + limit / most * wide), height = static_cast<double>(count) * kPeakBarHeight;
  picture.fill(at - 2, place.y - 2, 4, height, shades.ground);
  picture.fill(at - 1, place.y - 2, 2, height, shades.text);
}

std::vector<LegendItem> memory_legend(const MemoryData& data, const MemoryState& state, double width, double /*height*/,
                                      const TextWidth& measure) {
  std::vector<LegendItem> items;
  double at = kMargin;
  const auto add = [&](LegendItem item) {
    item.x = at;
    item.width = 22 + kGap + measure(item.text, false);
    if (at + item.width > width - kMargin) return;
    at += item.width + 3 * kGap;
    items.push_back(std::move(item));
  };
  MemoryParts used{};
  bool lowest = false, predicted = false;
  for (const MemoryPeakBar& bar : data.peaks) {
    for (std::size_t c = 0; c < used.size(); ++c)
      used[c] = std::max({used[c], bar.at_peak[c], bar.predicted_at_peak[c]});
    predicted = predicted || bar.predicted_bytes > 0;
  }
  for (const MemoryPanel& panel : data.panels) {
    for (const MemoryStretch& s : panel.stretches) {
      for (std::size_t c = 0; c < used.size(); ++c) used[c] = std::max(used[c], s.parts[c]);
      lowest = lowest || s.lowest != s.highest;
    }
  }
  for (const MemoryLook& look : kMemoryLooks) {
    if (used[index(look.category)] > 0)
      add({LegendItem::Kind::kCategory, look.category, state.hidden.contains(look.category), 0, 0, look.name});
  }
  if (predicted) add({LegendItem::Kind::kPredicted, {}, false, 0, 0, "predicted"});
  if (lowest && state.hidden.empty()) add({LegendItem::Kind::kLowest, {}, false, 0, 0, "lowest within a pixel"});
  return items;
}

std::string memory_time_text(std::int64_t ns, TimeWindow window) {
  std::int64_t step = 1;
  while (step <= window.length() / 10'000) step *= 10;
  return format_time((ns + step / 2) / step * step, step);
}

std::string where_text(const MemoryMark& mark) {
  if (mark.instant.op < 0) return "from the beginning";
  std::string text = "at " + format_time(mark.instant.time_ns, 100'000) + ", step " + std::to_string(mark.instant.step);
  return mark.where.empty() ? text : text + ", " + mark.where;
}

std::string live_text(const LiveAllocation& a) {
  const std::string name = look_of(a.category).name;
  if (a.op == LiveAllocation::kBefore) return name + ", from before the first step";
  if (a.op < 0) return name + ", of which the program knows nothing";
  std::string text = a.buffer.empty() ? name : a.buffer + " (" + name + ")";
  if (!a.phase.empty()) text += ", " + a.phase;
  if (a.layer >= 0) text += ", layer " + std::to_string(a.layer);
  return text;
}

}  // namespace shardscope::gui
