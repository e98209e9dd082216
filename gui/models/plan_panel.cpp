#include "gui/models/plan_panel.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

namespace shardscope::gui {
namespace {

constexpr double kLine = 18, kBar = 26, kGap = 10, kSwatch = 11;

std::string format_gb(double bytes) { return fmt::format("{:.1f} GB", bytes / 1e9); }

class Panel {
 public:
  Panel(Picture& picture, const PlanPanel& p) : picture_(picture), p_(p), y_(p.area.y + kLine) {}

  void draw() {
    draw_words();
    if (!p_.dot.legal) return;
    draw_memory();
    draw_step();
    draw_relief();
  }

 private:
  double left() const { return p_.area.x; }
  double width() const { return p_.area.width; }
  bool has_room(double height) const { return y_ + height <= p_.area.y + p_.area.height; }

  void line(const std::string& text, bool bold = false, bool faint = false) {
    if (!has_room(0)) return;
    picture_.text(left(), y_, elide(text, width(), p_.measure, bold), faint ? p_.shades.faint : p_.shades.text, bold);
    y_ += kLine;
  }

  void draw_words() {
    const std::vector<std::string> lines = describe_dot(p_.result, p_.dot);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      for (const std::string& part : wrap(lines[i], width(), p_.measure)) line(part, i == 0);
    }
  }

  /// A stacked bar; `limit` above 0 is a line across it, and the bar is as long as the longer of both.
  void bar(const std::vector<PlanPart>& parts, double limit) {
    double total = 0;
    for (const PlanPart& part : parts) total += part.value;
    y_ -= kGap;
    if (!has_room(kBar)) return;
    const double scale = width() / (std::max(total, limit) * 1.04);
    double x = left();
    picture_.fill(left(), y_, width(), kBar, p_.shades.row);
    for (const PlanPart& part : parts) {
      const double w = part.value * scale;
      picture_.fill(x, y_, w > 3 ? w - 1 : w, kBar, part.look.colour);
      const double text = p_.measure(part.look.mark, false);
      if (text + 6 <= w)
        picture_.text(x + (w - text) / 2, y_ + kBar / 2 + 4, part.look.mark, text_colour_on(part.look.colour));
      x += w;
    }
    if (limit > 0) {
      const double at = left() + limit * scale;
      picture_.line(at, y_ - 5, at, y_ + kBar + 5, p_.shades.text, {2});
      constexpr const char* kLimit = "limit";  // where nothing is drawn: the line above says how much it is
      if (x + p_.measure(kLimit, false) + 8 <= at)
        picture_.text(at - 4, y_ + kBar / 2 + 4, kLimit, p_.shades.text, false, TextAnchor::kEnd);
    }
    y_ += kBar + 2 * kGap;
  }

  /// Parts with their values, in two columns where they have room.
  void legend(const std::vector<PlanPart>& parts, const std::function<std::string(double)>& text) {
    double total = 0;
    for (const PlanPart& part : parts) total += part.value;
    double widest = 0;
    for (const PlanPart& part : parts)
      widest = std::max(widest, p_.measure(part.look.name, false) + p_.measure(text(part.value), false));
    const int columns = widest + kSwatch + 2 * kGap + 12 <= width() / 2 ? 2 : 1;
    const double column = width() / columns;
    int place = 0;
    for (const PlanPart& part : parts) {
      if (part.value < 0.002 * total) continue;
      const double x = left() + column * (place % columns), right = x + column - 2 * kGap;
      if (!has_room(0)) return;
      picture_.fill(x, y_ - kSwatch + 1, kSwatch, kSwatch, part.look.colour);
      const std::string value = text(part.value);
      picture_.text(right, y_, value, p_.shades.text, false, TextAnchor::kEnd);
      const double room = right - x - kSwatch - 6 - p_.measure(value, false) - 6;
      picture_.text(x + kSwatch + 6, y_, elide(part.look.name, room, p_.measure), p_.shades.text);
      if (++place % columns == 0) y_ += kLine;
    }
    if (place % columns != 0) y_ += kLine;
  }

  void draw_memory() {
    const Candidate& c = p_.result.request.candidates[p_.dot.point.candidate];
    const double limit = c.target.gpu.memory.value, used = p_.dot.point.estimate.used;
    y_ += kGap;
    line(fmt::format("Memory of a GPU: {} of {}; {}", format_gb(used), format_gb(limit),
                     used > limit ? format_gb(used - limit) + " too much" : format_gb(limit - used) + " free"),
         true);
    bar(memory_parts(p_.dot.point.estimate), limit);
    legend(memory_parts(p_.dot.point.estimate), format_gb);
    const Estimate& e = p_.dot.point.estimate;
    if (e.host_bytes > 0 || e.nvme_bytes > 0) {
      line(
          fmt::format("and per GPU {} of the host, {} of the drives", format_gb(e.host_bytes), format_gb(e.nvme_bytes)),
          false, true);
    }
  }

  void draw_step() {
    y_ += kGap;
    if (!has_room(kBar + 2 * kLine)) return;
    const Estimate& e = p_.dot.point.estimate;
    line(fmt::format("Step: {} ({} to {})", format_seconds(e.step_time_s), format_seconds(e.step_time_s * p_.dot.low),
                     format_seconds(e.step_time_s * p_.dot.high)),
         true);
    bar(time_parts(e), 0);
    legend(time_parts(e), [&](double s) {
      return fmt::format("{} {:.0f} %", format_seconds(s), 100 * s / std::max(e.step_time_s, 1e-12));
    });
  }

  void draw_relief() {
    y_ += kGap;
    const Relief& relief = p_.relief;
    if (relief.share <= 0 || !has_room(2 * kLine)) return;
    line(fmt::format("Bottleneck: {}, {:.0f} % of the step", title_of(relief.bottleneck), 100 * relief.share), true);
    constexpr int kMost = 3;
    int said = 0;
    for (const HardwareChange& change : relief.changes) {
      if (change.change > -0.005 || said++ >= kMost) break;
      line(fmt::format("{}: step {:+.0f} %", change.name, 100 * change.change));
    }
    if (said == 0) line("no single kind of faster hardware would change it much");
  }

  Picture& picture_;
  const PlanPanel& p_;
  double y_;  ///< baseline of the next line
};

}  // namespace

void draw_plan_panel(Picture& picture, const PlanPanel& panel) { Panel(picture, panel).draw(); }

}  // namespace shardscope::gui
