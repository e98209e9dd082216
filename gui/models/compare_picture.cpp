#include "gui/models/compare_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gui/models/timeline_colours.h"
#include "gui/models/timeline_picture.h"
#include "gui/models/waterfall.h"

namespace shardscope::gui {
namespace {

constexpr double kMargin = 12, kLine = 18, kGap = 6, kGutterGap = 8;
constexpr double kLowestRow = 8, kHighestRow = 30, kDeltaHeight = 64, kTint = 0.16;
constexpr double kOpsFrom = 90;  ///< pixels of a step: wider ones show their ops in the delta lane

double text_baseline(double y, double height) { return y + height / 2 + kTextSize * 0.36; }

class Drawing {
 public:
  Drawing(const CompareScene& scene, double width, double height, const TextWidth& measure, CompareParts parts)
      : scene_(scene),
        measure_(measure),
        shades_(shades_of(scene.state.dark)),
        frame_(frame_of(scene, width, height, measure, parts)),
        picture_(width, height, shades_.ground) {}

  Picture draw() {
    if (!scene_.facts) {
      picture_.text(kMargin, kMargin + kTextSize, "Compare two runs", shades_.text, true);
      draw_paragraph(picture_, kMargin, kMargin + kTextSize + 2 * kLine, picture_.width - 2 * kMargin, scene_.problem,
                     shades_.text, measure_);
      return std::move(picture_);
    }
    window_ = window_of(scene_);
    draw_title();
    draw_ruler();
    draw_steps();
    draw_tints();
    for (const CompareFrame::Row& row : frame_.rows) draw_row(row);
    draw_delta();
    draw_cursor();
    if (frame_.table.height > 0) draw_table();
    if (frame_.histogram.height > 0 && scene_.histogram)
      draw_histogram(picture_, *scene_.histogram, frame_.histogram, scene_.state.dark, measure_);
    draw_legend();
    return std::move(picture_);
  }

 private:
  const PairFacts& facts() const { return *scene_.facts; }
  double x(std::int64_t ns) const { return frame_.left + x_of(ns, window_, frame_.width); }
  double clamped_x(std::int64_t ns) const { return std::clamp(x(ns), frame_.left, frame_.left + frame_.width); }

  double chip(double at, Rgb colour, bool predicted, const char* letter, const std::string& name) {
    picture_.fill(at, kMargin, 16, kTextSize + 3, colour, predicted ? Texture::kHatch : Texture::kPlain);
    picture_.text(at + 8, kMargin + kTextSize, letter, text_colour_on(colour), true, TextAnchor::kMiddle);
    const std::string text = elide(name, picture_.width / 3, measure_, true);
    picture_.text(at + 22, kMargin + kTextSize, text, shades_.text, true);
    return at + 22 + measure_(text, true) + 2 * kLine;
  }

  void draw_title() {
    double at = chip(kMargin, kRunA, facts().predicted_a, "A", facts().name_a);
    at = chip(at, kRunB, facts().predicted_b, "B", facts().name_b);
    std::int64_t delta = 0;
    const std::size_t first = first_counted(facts().alignment), steps = facts().alignment.steps.size();
    for (std::size_t i = first; i < steps; ++i) delta += step_delta_ns(facts(), i);
    const double mean_s = 1e-9 * static_cast<double>(delta) / static_cast<double>(steps - first);
    const std::string mean = fmt::format("B against A: {} a step, mean of {}", format_delta(mean_s), steps - first);
    picture_.text(at, kMargin + kTextSize, elide(mean, picture_.width - at - kMargin, measure_), shades_.text);
    std::string remark = fmt::format("rank {}; steps begin together", facts().rank);
    for (const std::string& missing : facts().alignment.remarks) remark += "; " + missing;
    picture_.text(kMargin, kMargin + kTextSize + kLine, elide(remark, picture_.width - 2 * kMargin, measure_),
                  shades_.faint);
  }

  void draw_ruler() {
    const TimeTicks ticks = time_ticks(window_, std::max(2, static_cast<int>(frame_.width / 110)));
    const double baseline = frame_.top - kLine - 4;
    picture_.text(kMargin, baseline,
                  elide(ticks.base.empty() ? "time" : ticks.base, frame_.left - kMargin - kGap, measure_),
                  shades_.faint);
    for (std::size_t i = 0; i < ticks.at_ns.size(); ++i) {
      const double at = std::floor(x(ticks.at_ns[i]));
      picture_.fill(at, baseline + 4, 1, 4, shades_.faint);
      if (at + 4 + measure_(ticks.texts[i], false) < picture_.width)
        picture_.text(at + 4, baseline, ticks.texts[i], shades_.faint);
    }
  }

  void draw_steps() {
    const double y = frame_.top - kLine + 2;
    double drawn_to = frame_.left - 1;
    for (std::size_t i = step_on_axis(facts(), window_.begin_ns); i < facts().alignment.steps.size(); ++i) {
      if (facts().at_ns[i] >= window_.end_ns) break;
      const double left = std::round(clamped_x(facts().at_ns[i])), right = std::round(clamped_x(facts().at_ns[i + 1]));
      if (right - left < 2 && left < drawn_to + 1) continue;
      picture_.fill(left, y, std::max(1.0, right - left - 1), kLine - 4, shades_.band);
      const std::string number = std::to_string(facts().alignment.steps[i].a_step);
      const std::string delta = format_delta(1e-9 * static_cast<double>(step_delta_ns(facts(), i)));
      std::string text = "step " + number + "   " + delta;
      if (measure_(text, false) > right - left - 8) text = "step " + number;
      if (measure_(text, false) > right - left - 8) text = number;
      if (measure_(text, false) <= right - left - 4)
        picture_.text(left + 4, text_baseline(y, kLine - 4), text, shades_.text);
      drawn_to = right;
    }
    picture_.text(kMargin, text_baseline(y, kLine - 4), "steps", shades_.faint);
  }

  /// Each run's own background.
  void draw_tints() {
    for (Side side : {Side::kA, Side::kB}) {
      double top = 1e9, bottom = 0;
      for (const CompareFrame::Row& row : frame_.rows) {
        if (row.side != side) continue;
        top = std::min(top, row.y);
        bottom = std::max(bottom, row.y + row.height);
      }
      if (bottom <= top) continue;
      const Rgb colour = side == Side::kA ? kRunA : kRunB;
      picture_.fill(kMargin, top - 2, picture_.width - 2 * kMargin, bottom - top + 4,
                    tint(shades_.ground, colour, kTint));
      picture_.fill(kMargin, top - 2, 4, bottom - top + 4, colour);
    }
  }

  void draw_row(const CompareFrame::Row& row) {
    const LaneBars& lane = (row.side == Side::kA ? scene_.lanes->a : scene_.lanes->b)[row.lane];
    const bool predicted = row.side == Side::kA ? facts().predicted_a : facts().predicted_b;
    const RowPlace place{frame_.left, row.y, frame_.width, row.height - 1};
    draw_lane(picture_, lane, window_, place, measure_, predicted);
    if (row.height >= kTextSize - 2) {
      picture_.text(kMargin + 10, text_baseline(row.y, row.height),
                    (row.lane == 0 ? (row.side == Side::kA ? "A  " : "B  ") : "    ") + lane.lane, shades_.text,
                    row.lane == 0);
    }
  }

  bool ops_are_wide() const {
    const double steps = static_cast<double>(facts().alignment.steps.size());
    const double step_ns = static_cast<double>(axis_of(facts()).length()) / steps;
    return !facts().differences.empty() && step_ns / static_cast<double>(window_.length()) * frame_.width >= kOpsFrom;
  }

  void draw_delta() {
    std::vector<AxisDifference> shown;
    if (ops_are_wide()) {
      for (const AxisDifference& d : facts().differences) {
        if (d.axis.end_ns > window_.begin_ns && d.axis.begin_ns < window_.end_ns) shown.push_back(d);
      }
    } else {
      for (std::size_t i = step_on_axis(facts(), window_.begin_ns); i < facts().alignment.steps.size(); ++i) {
        if (facts().at_ns[i] >= window_.end_ns) break;
        shown.push_back({{facts().at_ns[i], facts().at_ns[i + 1]}, step_delta_ns(facts(), i), 0});
      }
    }
    std::int64_t most = 1;
    for (const AxisDifference& d : shown) most = std::max(most, std::abs(d.delta_ns));
    const double y = frame_.delta_y, height = frame_.delta_height, middle = std::round(y + height / 2);
    picture_.fill(frame_.left, y, frame_.width, height, shades_.row);
    picture_.text(kMargin, y + kTextSize, "delta B - A", shades_.text);
    picture_.text(kMargin, y + kTextSize + 16, ops_are_wide() ? "of each op" : "of each step", shades_.faint);
    picture_.text(kMargin, y + kTextSize + 32, "± " + format_seconds(1e-9 * static_cast<double>(most)), shades_.faint);
    for (const AxisDifference& d : shown) draw_delta_bar(d, most, middle, height / 2 - 2);
    picture_.fill(frame_.left, middle, frame_.width, 1, shades_.faint);
  }

  void draw_delta_bar(const AxisDifference& d, std::int64_t most, double middle, double half) {
    if (d.delta_ns == 0) return;
    const double left = std::round(clamped_x(d.axis.begin_ns)), right = std::round(clamped_x(d.axis.end_ns));
    const double width = std::max(1.0, right - left - (right - left > 3 ? 1 : 0));
    const double size =
        std::max(1.0, std::round(half * static_cast<double>(std::abs(d.delta_ns)) / static_cast<double>(most)));
    const double seconds = 1e-9 * static_cast<double>(d.delta_ns);
    const bool slower = d.delta_ns > 0;
    picture_.fill(left, slower ? middle - size : middle + 1, width, size, delta_colour(seconds));
    const std::string text = format_delta(seconds);
    if (measure_(text, false) + 4 > width) return;
    picture_.text(left + width / 2, slower ? middle + kTextSize + 2 : middle - 5, text, shades_.text, false,
                  TextAnchor::kMiddle);
  }

  void draw_cursor() {
    const std::int64_t at = scene_.state.cursor_ns;
    if (at < window_.begin_ns || at >= window_.end_ns) return;
    picture_.fill(std::floor(x(at)), frame_.top, 1, frame_.bottom - frame_.top, shades_.text);
  }

  void draw_table() {
    const TableData table = delta_table(facts().ops);
    const RowPlace& place = frame_.table;
    const auto rows = std::min(table.rows.size(), static_cast<std::size_t>(std::max(0.0, place.height / kLine - 1)));
    std::vector<double> widths;
    for (std::size_t c = 1; c < table.columns.size(); ++c) {
      double width = measure_(table.columns[c], true);
      for (std::size_t r = 0; r < rows; ++r) width = std::max(width, measure_(table.rows[r][c].text, false));
      widths.push_back(width + 2 * kGap);
    }
    double numbers = 0;
    for (double width : widths) numbers += width;
    const double name = place.width - numbers;
    if (name < 80) return;
    for (std::size_t r = 0; r <= rows; ++r) {
      const bool head = r == 0;
      const double baseline = place.y + static_cast<double>(r) * kLine + kTextSize;
      const auto cell = [&](std::size_t c) { return head ? table.columns[c] : table.rows[r - 1][c].text; };
      picture_.text(place.x, baseline, elide(cell(0), name - kGap, measure_, head), shades_.text, head);
      double right = place.x + name;
      for (std::size_t c = 1; c < table.columns.size(); ++c) {
        right += widths[c - 1];
        picture_.text(right, baseline, cell(c), head ? shades_.text : shades_.faint, head, TextAnchor::kEnd);
      }
      if (!head) picture_.fill(place.x, place.y + static_cast<double>(r) * kLine - 2, place.width, 1, shades_.band);
    }
  }

  void draw_legend() {
    WorkClasses used{};
    if (scene_.lanes) {
      add_classes(scene_.lanes->a, used);
      add_classes(scene_.lanes->b, used);
    }
    double at = kMargin;
    const double y = picture_.height - kMargin;
    const auto entry = [&](Rgb colour, Texture texture, const std::string& text) {
      if (at + 28 + measure_(text, false) > picture_.width - kMargin) return;
      picture_.fill(at, y - kTextSize + 1, 22, kTextSize + 1, colour, texture);
      picture_.text(at + 28, y, text, shades_.faint);
      at += 28 + measure_(text, false) + kLine;
    };
    for (std::size_t c = 0; c < kWorkClasses; ++c) {
      const WorkLook look = look_of(static_cast<WorkClass>(c));
      if (used[c]) entry(look.colour, look.texture, look.name);
    }
    entry(kOrange, Texture::kPlain, "▲ slower in B");
    entry(kBlue, Texture::kPlain, "▼ faster in B");
    if (facts().predicted_a || facts().predicted_b) entry(kGrey, Texture::kHatch, "predicted");
  }

  const CompareScene& scene_;
  const TextWidth& measure_;
  const TimelineShades shades_;
  const CompareFrame frame_;
  TimeWindow window_;
  Picture picture_;
};

}  // namespace

Rgb tint(Rgb ground, Rgb colour, double part) {
  const auto mix = [part](std::uint8_t from, std::uint8_t to) {
    return static_cast<std::uint8_t>(std::lround(from + (to - from) * part));
  };
  return {mix(ground.r, colour.r), mix(ground.g, colour.g), mix(ground.b, colour.b)};
}

TimeWindow window_of(const CompareScene& scene) { return clamp(scene.state.window, axis_of(*scene.facts)); }

CompareFrame frame_of(const CompareScene& scene, double width, double height, const TextWidth& measure,
                      CompareParts parts) {
  CompareFrame frame;
  double gutter = measure("of each step", false);
  std::size_t lanes_a = 0, lanes_b = 0;
  if (scene.lanes) {
    lanes_a = scene.lanes->a.size();
    lanes_b = scene.lanes->b.size();
    for (const std::vector<LaneBars>* lanes : {&scene.lanes->a, &scene.lanes->b}) {
      for (const LaneBars& lane : *lanes) gutter = std::max(gutter, measure("B  " + lane.lane, true) + 10);
    }
  }
  frame.left = std::ceil(kMargin + std::min(gutter, width / 3) + kGutterGap);
  frame.width = std::max(1.0, std::floor(width - frame.left - kMargin));
  frame.top = kMargin + 4 * kLine + kGap;
  const double legend = kLine + kMargin,
               below = parts == CompareParts::kAll && height > 420 ? std::round(height * 0.36) : 0;
  const double room = height - frame.top - legend - below - kDeltaHeight - 4 * kGap;
  const double row = std::clamp(std::floor(room / static_cast<double>(std::max<std::size_t>(1, lanes_a + lanes_b))),
                                kLowestRow, kHighestRow);
  double y = frame.top + 4;
  for (std::size_t i = 0; i < lanes_a; ++i, y += row) frame.rows.push_back({Side::kA, i, y, row});
  y += 2 * kGap;
  for (std::size_t i = 0; i < lanes_b; ++i, y += row) frame.rows.push_back({Side::kB, i, y, row});
  frame.delta_y = y + kGap;
  frame.delta_height = kDeltaHeight;
  frame.bottom = frame.delta_y + kDeltaHeight;
  if (below > 0) {
    const double top = frame.bottom + 2 * kGap, tall = height - legend - top - kGap,
                 half = (width - 3 * kMargin) * 0.56;
    frame.table = {kMargin, top, half, tall};
    frame.histogram = {2 * kMargin + half, top, width - 3 * kMargin - half, tall};
  }
  return frame;
}

Picture draw_compare(const CompareScene& scene, double width, double height, const TextWidth& measure,
                     CompareParts parts) {
  return Drawing(scene, width, height, measure, parts).draw();
}

std::string describe_at(const CompareScene& scene, const CompareFrame& frame, double x, double y) {
  if (!scene.facts || !scene.lanes || x < frame.left || x >= frame.left + frame.width) return {};
  const TimeWindow window = window_of(scene);
  const std::int64_t at = time_at(x - frame.left, window, frame.width),
                     slack = static_cast<std::int64_t>(2 * static_cast<double>(window.length()) / frame.width);
  for (const CompareFrame::Row& row : frame.rows) {
    if (y < row.y || y >= row.y + row.height) continue;
    const LaneBars& lane = (row.side == Side::kA ? scene.lanes->a : scene.lanes->b)[row.lane];
    const LaneBar* bar = bar_at(lane, at, slack);
    if (bar == nullptr) return {};
    const std::string waits =
        bar->wait_ns > 0 ? ", of it waiting " + format_seconds(1e-9 * static_cast<double>(bar->wait_ns)) : "";
    return fmt::format("{} in {}: {}{}, step {}", bar->text, row.side == Side::kA ? "A" : "B",
                       format_seconds(1e-9 * static_cast<double>(bar->time.length())), waits, bar->step);
  }
  if (y < frame.delta_y || y >= frame.delta_y + frame.delta_height) return {};
  const std::size_t step = step_on_axis(*scene.facts, at);
  return fmt::format("step {}: {} in B", scene.facts->alignment.steps[step].a_step,
                     format_delta(1e-9 * static_cast<double>(step_delta_ns(*scene.facts, step))));
}

void draw_histogram(Picture& picture, const DurationHistogram& h, const RowPlace& place, bool dark,
                    const TextWidth& measure) {
  const TimelineShades shades = shades_of(dark);
  picture.text(place.x, place.y + kTextSize, elide("Executions of " + to_string(h.label), place.width, measure, true),
               shades.text, true);
  if (h.highest() == 0) {
    picture.text(place.x, place.y + kTextSize + kLine, "neither run has one", shades.faint);
    return;
  }
  // A as filled bars, B as a line along their tops: told apart without colour.
  const double axis = place.y + place.height - kLine, tall = place.height - 3.4 * kLine - 4;
  const double bin = place.width / static_cast<double>(h.a.size());
  const auto of = [](std::size_t n, std::size_t all) {
    return all == 0 ? 0 : static_cast<double>(n) / static_cast<double>(all);
  };
  double most = 1e-9;
  for (std::size_t i = 0; i < h.a.size(); ++i) most = std::max({most, of(h.a[i], h.count_a), of(h.b[i], h.count_b)});
  std::vector<Point> line;
  for (std::size_t i = 0; i < h.a.size(); ++i) {
    const double left = place.x + static_cast<double>(i) * bin,
                 height = std::round(tall * of(h.a[i], h.count_a) / most);
    picture.fill(left, axis - height, std::max(1.0, bin - 1), height, tint(shades.ground, kRunA, 0.75));
    const auto y = static_cast<float>(axis - tall * of(h.b[i], h.count_b) / most);
    line.push_back({static_cast<float>(left), y});
    line.push_back({static_cast<float>(left + bin), y});
  }
  picture.line(line, kRunB, {.width = 2});
  picture.fill(place.x, axis, place.width, 1, shades.faint);
  const double low = std::log10(h.low_s), high = std::log10(h.high_s);
  const auto x = [&](double s) { return place.x + (std::log10(s) - low) / (high - low) * place.width; };
  picture.text(place.x, axis + kTextSize + 3, format_seconds(h.low_s), shades.faint);
  picture.text(place.x + place.width, axis + kTextSize + 3, format_seconds(h.high_s), shades.faint, false,
               TextAnchor::kEnd);
  for (int d = static_cast<int>(std::ceil(low)); d <= static_cast<int>(std::floor(high)); ++d) {
    const double at = x(std::pow(10.0, d)), half = measure(format_seconds(std::pow(10.0, d)), false) / 2 + 60;
    if (at - half < place.x || at + half > place.x + place.width) continue;
    picture.text(at, axis + kTextSize + 3, format_seconds(std::pow(10.0, d)), shades.faint, false, TextAnchor::kMiddle);
  }
  double at = place.x;
  const double baseline = place.y + kTextSize + kLine;
  const auto entry = [&](Rgb colour, bool filled, const char* name, std::size_t count, double median_s) {
    filled ? picture.fill(at, baseline - 10, 14, 11, tint(shades.ground, colour, 0.75))
           : picture.line(at, baseline - 4, at + 14, baseline - 4, colour, {.width = 2});
    const std::string text = count == 0 ? fmt::format("{}: none", name)
                                        : fmt::format("{}: {}, median {}", name, count, format_seconds(median_s));
    picture.text(at + 20, baseline, text, shades.faint);
    at += 20 + measure(text, false) + kLine;
  };
  entry(kRunA, true, "A", h.count_a, h.median_a_s);
  entry(kRunB, false, "B", h.count_b, h.median_b_s);
  for (const auto& [colour, median, count] :
       {std::tuple(kRunA, h.median_a_s, h.count_a), std::tuple(kRunB, h.median_b_s, h.count_b)}) {
    if (count > 0) picture.line(x(median), axis - tall, x(median), axis, colour, {.width = 1.5, .dashed = true});
  }
}

}  // namespace shardscope::gui
