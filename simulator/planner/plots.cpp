#include "simulator/planner/plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/xml_text.h"

namespace shardscope {
namespace {

// Okabe and Ito's colours, told apart by the colour-blind; more parts than colours begin again, lighter.
constexpr std::array<std::string_view, 8> kColours{"#0072b2", "#e69f00", "#009e73", "#d55e00",
                                                   "#56b4e9", "#cc79a7", "#f0e442", "#7f7f7f"};

std::string style_of(std::size_t i) {
  return fmt::format("fill=\"{}\"{}", kColours[i % kColours.size()],
                     i >= kColours.size() ? " fill-opacity=\"0.5\"" : "");
}

/// Text in the page's own colour.
std::string text_at(double x, double y, std::string_view anchor, std::string_view text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor, escape_xml(text));
}

std::string line(double x1, double y1, double x2, double y2, std::string_view look) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y1, x2, y2, look);
}

std::string page(double width, double height, const std::string& body) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
      "font-family=\"sans-serif\" font-size=\"12\" fill=\"currentColor\" color=\"#777\" role=\"img\">\n{2}</svg>\n",
      width, height, body);
}

std::string short_number(double v) {
  const double size = std::abs(v);
  if (size >= 1e9) return fmt::format("{:.4g}G", v / 1e9);
  if (size >= 1e6) return fmt::format("{:.4g}M", v / 1e6);
  if (size >= 1e4) return fmt::format("{:.4g}k", v / 1e3);
  return fmt::format("{:.4g}", v);
}

/// 1, 2 or 5 times a power of ten.
double round_step(double span, int most) {
  const double raw = span / most, power = std::pow(10, std::floor(std::log10(raw)));
  for (const double m : {1.0, 2.0, 5.0}) {
    if (m * power >= raw) return m * power;
  }
  return 10 * power;
}

/// Values of one axis to places on the page.
class Scale {
 public:
  Scale(double low, double high, double from, double to, bool log) : log_(log), from_(from), to_(to) {
    low_ = log ? std::log10(low) - 0.05 : 0;
    high_ = log ? std::log10(high) + 0.05 : high;
    if (high_ - low_ < 1e-9) high_ = low_ + 1;
  }
  double at(double v) const { return from_ + ((log_ ? std::log10(v) : v) - low_) / (high_ - low_) * (to_ - from_); }
  std::vector<double> ticks() const {
    std::vector<double> found;
    if (!log_) {
      const double step = round_step(high_ - low_, 6);
      for (double v = 0; v <= high_ * (1 + 1e-9); v += step) found.push_back(v);
      return found;
    }
    for (double power = std::floor(low_); power <= high_; ++power) {
      for (const double m : {1.0, 2.0, 5.0}) add(m * std::pow(10, power), found);
    }
    if (found.size() >= 4) return found;
    found.clear();  // less than a decade or so: evenly
    const double first = std::pow(10, low_), last = std::pow(10, high_), step = round_step(last - first, 6);
    for (double v = std::ceil(first / step) * step; v <= last; v += step) add(v, found);
    return found;
  }

 private:
  void add(double v, std::vector<double>& found) const {
    if (std::log10(v) >= low_ && std::log10(v) <= high_) found.push_back(v);
  }

  bool log_;
  double from_, to_, low_ = 0, high_ = 1;
};

constexpr std::string_view kGrid = "stroke=\"currentColor\" stroke-opacity=\"0.25\"";

/// An empty name has no entry, but its colour.
std::string legend(const std::vector<std::string>& names, double x, double y, double width) {
  std::string out;
  double at = x;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) continue;
    const double room = 26 + 7.0 * static_cast<double>(names[i].size());
    if (at + room > x + width) at = x, y += 18;
    out += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"11\" height=\"11\" {}/>\n", at, y - 10, style_of(i));
    out += text_at(at + 15, y, "start", names[i]);
    at += room;
  }
  return out;
}

}  // namespace

std::string scatter_svg(const Axes& axes, const std::vector<Series>& all) {
  constexpr double kWidth = 720, kHeight = 420, kLeft = 70, kTop = 40, kRight = 20, kBottom = 50;
  double x0 = 1e300, x1 = 0, y0 = 1e300, y1 = 0;
  std::vector<std::string> names;
  for (const Series& s : all) {
    names.push_back(s.name);
    for (const Dot& d : s.dots)
      x0 = std::min(x0, d.x), x1 = std::max(x1, d.x), y0 = std::min(y0, d.y), y1 = std::max(y1, d.y);
  }
  if (x1 <= 0 || y1 <= 0) return page(kWidth, kHeight, text_at(kWidth / 2, kHeight / 2, "middle", "nothing to show"));
  const Scale x(x0, x1, kLeft, kWidth - kRight, axes.log), y(y0, y1, kHeight - kBottom, kTop, axes.log);
  std::string body = legend(names, kLeft, 18, kWidth - kLeft - kRight);
  for (const double v : x.ticks()) {
    body += line(x.at(v), kTop, x.at(v), kHeight - kBottom, kGrid) +
            text_at(x.at(v), kHeight - kBottom + 16, "middle", short_number(v));
  }
  for (const double v : y.ticks()) {
    body +=
        line(kLeft, y.at(v), kWidth - kRight, y.at(v), kGrid) + text_at(kLeft - 6, y.at(v) + 4, "end", short_number(v));
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (const Dot& d : all[i].dots) {
      body += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\" {}><title>{}</title></circle>\n", x.at(d.x),
                          y.at(d.y), style_of(i), escape_xml(d.title));
      if (!d.is_ringed) continue;
      body += fmt::format(
          "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"9\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\"/>\n",
          x.at(d.x), y.at(d.y));
    }
  }
  body += text_at((kLeft + kWidth) / 2, kHeight - 10, "middle", axes.x);
  body += fmt::format("<text transform=\"translate(16 {:.0f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                      (kHeight - kBottom + kTop) / 2, escape_xml(axes.y));
  return page(kWidth, kHeight, body);
}

std::string bars_svg(const std::string& unit, const std::vector<std::string>& names, const std::vector<Bar>& bars,
                     double limit) {
  constexpr double kWidth = 860, kLeft = 210, kRight = 30, kBar = 22, kGap = 8, kTop = 64;
  const double bottom = kTop + static_cast<double>(bars.size()) * (kBar + kGap);
  double most = limit;
  for (const Bar& b : bars) {
    double sum = 0;
    for (const double p : b.parts) sum += std::max(p, 0.0);
    most = std::max(most, sum);
  }
  const Scale x(0, most * 1.05, kLeft, kWidth - kRight, false);
  std::vector<std::string> seen(names.size());
  for (const Bar& b : bars) {
    for (std::size_t p = 0; p < b.parts.size(); ++p) {
      if (b.parts[p] > 0) seen[p] = names[p];
    }
  }
  std::string body = legend(seen, 10, 16, kWidth - 20);
  for (const double v : x.ticks()) {
    body += line(x.at(v), kTop - 4, x.at(v), bottom, kGrid) + text_at(x.at(v), bottom + 16, "middle", short_number(v));
  }
  for (std::size_t i = 0; i < bars.size(); ++i) {
    const double y = kTop + static_cast<double>(i) * (kBar + kGap);
    body += text_at(kLeft - 8, y + 15, "end", bars[i].label);
    double at = 0;
    for (std::size_t p = 0; p < bars[i].parts.size(); ++p) {
      const double part = std::max(bars[i].parts[p], 0.0);
      if (part <= 0) continue;
      body += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" {}><title>{}: {:.4g} {}</title></rect>\n",
          x.at(at), y, x.at(at + part) - x.at(at), kBar, style_of(p), escape_xml(names[p]), part, escape_xml(unit));
      at += part;
    }
  }
  if (limit > 0) {
    body += line(x.at(limit), kTop - 6, x.at(limit), bottom,
                 "stroke=\"#d55e00\" stroke-width=\"2\" stroke-dasharray=\"5 3\"");
  }
  body += text_at((kLeft + kWidth) / 2, bottom + 34, "middle", unit);
  return page(kWidth, bottom + 42, body);
}

std::string waterfall_svg(const std::string& unit, double from, const std::vector<Change>& changes, double to) {
  constexpr double kWidth = 720, kLeft = 190, kRight = 90, kBar = 22, kGap = 8, kTop = 16;
  double most = std::max(from, to), at = from;
  for (const Change& c : changes) most = std::max(most, at += c.change);
  const Scale x(0, most, kLeft, kWidth - kRight, false);
  const double bottom = kTop + (static_cast<double>(changes.size()) + 2) * (kBar + kGap);
  std::string body;
  double y = kTop;
  const auto add = [&](const std::string& label, double low, double high, std::string_view colour,
                       const std::string& value) {
    body += text_at(kLeft - 8, y + 15, "end", label);
    body += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" fill=\"{}\"/>\n", x.at(low), y,
                        std::max(1.0, x.at(high) - x.at(low)), kBar, colour);
    body += text_at(x.at(high) + 6, y + 15, "start", value);
    y += kBar + kGap;
  };
  for (const double v : x.ticks()) {
    body += line(x.at(v), kTop - 4, x.at(v), bottom, kGrid) + text_at(x.at(v), bottom + 14, "middle", short_number(v));
  }
  add("before", 0, from, kColours[0], fmt::format("{:.4g}", from));
  at = from;
  for (const Change& c : changes) {
    add(c.label, std::min(at, at + c.change), std::max(at, at + c.change), c.change > 0 ? kColours[3] : kColours[2],
        fmt::format("{:+.4g}", c.change));
    at += c.change;
  }
  add("after", 0, to, kColours[0], fmt::format("{:.4g}", to));
  body += text_at((kLeft + kWidth - kRight) / 2, bottom + 32, "middle", unit);
  return page(kWidth, bottom + 40, body);
}

}  // namespace shardscope
