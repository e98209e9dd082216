#include "simulator/validate/scatter_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/xml_text.h"
#include "simulator/validate/score.h"

namespace shardscope {
namespace {

constexpr double kWidth = 1000, kHeight = 720, kLeft = 80, kTop = 50, kSide = 600;  // the square of the plot
constexpr double kBand = 0.2;
// Colours of the Tableau palettes; with three marks they tell 30 sources apart.
constexpr std::array<std::string_view, 10> kColours = {"#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f",
                                                       "#b07aa1", "#edc948", "#9c755f", "#d37295", "#666666"};
constexpr int kMarks = 3;

/// Decades that hold all values, and where a value lies in the square.
class Axes {
 public:
  explicit Axes(const std::vector<const ValidatedRow*>& rows) {
    double least = 1e300, most = 1e-300;
    for (const ValidatedRow* row : rows) {
      for (const double value : {*row->published_step_time_s, row->estimate.step_time_s}) {
        least = std::min(least, value), most = std::max(most, value);
      }
    }
    if (rows.empty()) least = 1, most = 10;
    low_ = std::floor(std::log10(least)), high_ = std::max(low_ + 1, std::ceil(std::log10(most)));
  }
  double x(double seconds) const { return kLeft + kSide * place(seconds); }
  double y(double seconds) const { return kTop + kSide * (1 - place(seconds)); }
  int low() const { return static_cast<int>(low_); }
  int high() const { return static_cast<int>(high_); }
  double least() const { return std::pow(10, low_); }
  double most() const { return std::pow(10, high_); }

 private:
  double place(double seconds) const { return std::clamp((std::log10(seconds) - low_) / (high_ - low_), 0.0, 1.0); }
  double low_, high_;
};

std::string mark(double x, double y, std::size_t source, const std::string& title) {
  const std::string_view colour = kColours[source % kColours.size()];
  const std::string style = fmt::format("fill=\"{}\" fill-opacity=\"0.55\" stroke=\"{}\"", colour, colour);
  const std::string inside = title.empty() ? "/>" : fmt::format("><title>{}</title></", escape_xml(title));
  const auto close = [&](const char* name) { return title.empty() ? inside : inside + name + ">"; };
  switch (source / kColours.size() % kMarks) {
    case 0:
      return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" {}{}\n", x, y, style, close("circle"));
    case 1:
      return fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"8\" height=\"8\" {}{}\n", x - 4, y - 4, style,
                         close("rect"));
    default:
      return fmt::format("<path d=\"M{:.1f} {:.1f}l5 9h-10z\" {}{}\n", x, y - 5, style, close("path"));
  }
}

std::string label(double x, double y, std::string_view text, std::string_view more = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, more, escape_xml(text));
}

std::string line(double x1, double y1, double x2, double y2, std::string_view style) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y1, x2, y2, style);
}

std::string decade_name(int decade) {
  if (decade >= -3 && decade < 0) return fmt::format("{} ms", std::lround(std::pow(10, decade + 3)));
  return decade >= 0 && decade <= 4 ? fmt::format("{} s", std::lround(std::pow(10, decade)))
                                    : fmt::format("1e{} s", decade);
}

std::string frame(const Axes& axes) {
  std::string out;
  for (int decade = axes.low(); decade <= axes.high(); ++decade) {
    const double value = std::pow(10, decade);
    out += line(axes.x(value), kTop, axes.x(value), kTop + kSide, "stroke=\"#ddd\"");
    out += line(kLeft, axes.y(value), kLeft + kSide, axes.y(value), "stroke=\"#ddd\"");
    out += label(axes.x(value), kTop + kSide + 20, decade_name(decade), "text-anchor=\"middle\"");
    out += label(kLeft - 8, axes.y(value) + 4, decade_name(decade), "text-anchor=\"end\"");
  }
  const double a = axes.least(), z = axes.most();
  out += line(axes.x(a), axes.y(a), axes.x(z), axes.y(z), "stroke=\"#222\"");
  for (const double factor : {1 + kBand, 1 - kBand}) {
    const double from = std::max(a, a / factor), to = std::min(z, z / factor);
    out += line(axes.x(from), axes.y(from * factor), axes.x(to), axes.y(to * factor),
                "stroke=\"#222\" stroke-dasharray=\"3 5\"");
  }
  out += label(kLeft + kSide / 2, kTop + kSide + 48, "published step time", "text-anchor=\"middle\"");
  out += fmt::format(
      "<text transform=\"translate(20 {:.1f}) rotate(-90)\" text-anchor=\"middle\">predicted step time</text>\n",
      kTop + kSide / 2);
  return out;
}

}  // namespace

std::string scatter_svg(const std::vector<ValidatedRow>& all, std::string_view qualities) {
  std::vector<const ValidatedRow*> rows;
  for (const ValidatedRow& row : all) {
    if (row.step_time_error() && is_chosen(row.run, qualities)) rows.push_back(&row);
  }
  const Axes axes(rows);
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"DejaVu Sans, sans-serif\" font-size=\"13\" fill=\"#222\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n",
      kWidth, kHeight);
  out += label(kLeft, 30, fmt::format("{} published runs; line: equal, dashed: 20 % off", rows.size()),
               "font-size=\"16\"");
  out += frame(axes);
  std::size_t source = 0;
  for (const auto& [name, score] : score_sources(all, qualities)) {
    if (score.step_time.n == 0) continue;
    for (const ValidatedRow* row : rows) {
      if (row->run.source != name) continue;
      out += mark(axes.x(*row->published_step_time_s), axes.y(row->estimate.step_time_s), source,
                  fmt::format("{}: {:.4g} s published, {:.4g} s predicted", row->run.id, *row->published_step_time_s,
                              row->estimate.step_time_s));
    }
    const double y = kTop + 14 + 24 * static_cast<double>(source);
    out += mark(kLeft + kSide + 30, y - 4, source, "");
    out += label(kLeft + kSide + 44, y,
                 fmt::format("{}: {} runs, mean {:.1f} %", name, score.step_time.n, 100 * *score.step_time.mape));
    ++source;
  }
  return out + "</svg>\n";
}

}  // namespace shardscope
