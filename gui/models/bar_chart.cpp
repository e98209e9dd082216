#include "gui/models/bar_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace shardscope::gui {

namespace {

/// The scale a value is written in: the largest unit that leaves at least 1 before the point.
struct Scale {
  double size;
  const char* name;
};
constexpr std::array<Scale, 4> kTime{{{1, "s"}, {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}}};
constexpr std::array<Scale, 5> kSizes{
    {{1099511627776.0, "TiB"}, {1073741824.0, "GiB"}, {1048576.0, "MiB"}, {1024.0, "KiB"}, {1, "B"}}};

template <std::size_t N>
std::string format_scaled(double value, const std::array<Scale, N>& scales) {
  if (!std::isfinite(value)) return "unknown";
  if (value == 0) return fmt::format("0 {}", scales.front().size == 1 ? scales.front().name : scales.back().name);
  for (const Scale& scale : scales) {
    const double scaled = value / scale.size;
    if (std::abs(scaled) < 0.9995 && &scale != &scales.back()) continue;
    const int digits = std::abs(scaled) < 9.995 ? 2 : std::abs(scaled) < 99.95 ? 1 : 0;
    std::string number = fmt::format("{:.{}f}", scaled, digits);
    if (number.find('.') != std::string::npos) {
      number.erase(number.find_last_not_of('0') + 1);
      if (number.back() == '.') number.pop_back();
    }
    return fmt::format("{} {}", number, scale.name);
  }
  return {};
}

double linear(std::uint8_t channel) {
  const double c = channel / 255.0;
  return c <= 0.03928 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
}

double luminance(Rgb c) { return 0.2126 * linear(c.r) + 0.7152 * linear(c.g) + 0.0722 * linear(c.b); }

}  // namespace

double Bar::total() const { return std::accumulate(values.begin(), values.end(), 0.0); }

double BarChart::longest() const {
  double longest = 0;
  for (const Bar& bar : bars) longest = std::max(longest, bar.total());
  return longest;
}

std::vector<double> axis_ticks(double longest, BarUnit unit, int wanted) {
  if (!(longest > 0) || !std::isfinite(longest) || wanted < 1) return {0};
  // Bytes step by 1, 2 or 5 tens within their own power of 1024, so that the marks read as whole MiB or GiB.
  double base = 1;
  if (unit == BarUnit::kBytes) base = std::pow(1024.0, std::floor(std::log(longest) / std::log(1024.0)));
  const double rough = longest / base / wanted;
  const double magnitude = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * magnitude;
  for (double factor : {1.0, 2.0, 5.0}) {
    if (factor * magnitude >= rough * (1 - 1e-9)) {
      step = factor * magnitude;
      break;
    }
  }
  std::vector<double> ticks;
  for (int i = 0; i == 0 || ticks.back() < longest * (1 - 1e-9); ++i) ticks.push_back(i * step * base);
  return ticks;
}

std::string format_seconds(double seconds) { return format_scaled(seconds, kTime); }
std::string format_bytes(double bytes) { return format_scaled(bytes, kSizes); }

std::string format_value(double value, BarUnit unit) {
  return unit == BarUnit::kBytes ? format_bytes(value) : format_seconds(value);
}

double contrast_ratio(Rgb a, Rgb b) {
  const auto [low, high] = std::minmax({luminance(a), luminance(b)});
  return (high + 0.05) / (low + 0.05);
}

Rgb text_colour_on(Rgb background) {
  constexpr Rgb kInk{0, 0, 0}, kPaper{255, 255, 255};
  return contrast_ratio(background, kInk) >= contrast_ratio(background, kPaper) ? kInk : kPaper;
}

}  // namespace shardscope::gui
