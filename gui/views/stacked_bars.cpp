#include "gui/views/stacked_bars.h"

#include <QEvent>
#include <QHelpEvent>
#include <QPainter>
#include <QToolTip>
#include <algorithm>
#include <cmath>
#include <utility>

namespace shardscope::gui {

namespace {

constexpr int kMargin = 12, kGap = 8, kPairGap = 2, kTickTarget = 5;
constexpr double kBarHeightInLines = 1.35, kTallestBarInLines = 2.2;

QString q(const std::string& text) { return QString::fromStdString(text); }
QColor colour(Rgb c) { return QColor(c.r, c.g, c.b); }

/// Between text and background: for lines that should not compete with the bars.
QColor faint(const QPalette& palette, double weight) {
  const QColor text = palette.color(QPalette::WindowText), back = palette.color(QPalette::Base);
  const auto mix = [weight](int a, int b) { return static_cast<int>(std::lround(a * weight + b * (1 - weight))); };
  return QColor(mix(text.red(), back.red()), mix(text.green(), back.green()), mix(text.blue(), back.blue()));
}

void paint_hatch(QPainter& painter, const QRectF& rect) {
  painter.fillRect(rect, QBrush(QColor(255, 255, 255, 120), Qt::BDiagPattern));
}

/// The mark is left out where it does not fit; under a hatch it stands on plain ground.
void paint_segment(QPainter& painter, const QRectF& rect, const BarSeries& series, bool hatched) {
  painter.fillRect(rect, colour(series.colour));
  if (hatched) paint_hatch(painter, rect);
  const QFontMetricsF metrics(painter.font());
  const double text_width = metrics.horizontalAdvance(q(series.mark));
  if (rect.width() < text_width + 6) return;
  QRectF ground(0, 0, text_width + 6, metrics.height());
  ground.moveCenter(rect.center());
  if (hatched) painter.fillRect(ground, colour(series.colour));
  painter.setPen(colour(text_colour_on(series.colour)));
  painter.drawText(rect, Qt::AlignCenter, q(series.mark));
}

QString bar_label(const Bar& bar) { return bar.predicted ? QStringLiteral("predicted") : q(bar.label); }

}  // namespace

/// Everything in widget coordinates, from the width and the font alone.
struct StackedBars::Layout {
  struct LegendEntry {
    QRectF swatch;
    QPointF text;  ///< baseline
  };
  QFont title_font;
  double line = 0;                  ///< height of a line of text
  QPointF title;                    ///< baseline
  std::vector<LegendEntry> legend;  ///< one per series; then, if there are predictions, what the hatch means
  QRectF bars;                      ///< area between label column and totals, all bars high
  std::vector<double> tops;         ///< of each bar
  double bar_height = 0, axis_text = 0, height = 0;
  double longest = 1;  ///< value at the right edge of `bars`
  std::vector<double> ticks;

  double x_of(double value) const { return bars.left() + value / longest * bars.width(); }
};

StackedBars::StackedBars(QWidget* parent) : QWidget(parent) {
  setBackgroundRole(QPalette::Base);
  setAutoFillBackground(true);
  QSizePolicy policy(QSizePolicy::Expanding, QSizePolicy::Preferred);
  policy.setHeightForWidth(true);
  setSizePolicy(policy);
}

void StackedBars::set_chart(BarChart chart) {
  chart_ = std::move(chart);
  setAccessibleName(q(chart_.title));
  QString description;
  for (const Bar& bar : chart_.bars) {
    description +=
        q(bar.label) + (bar.predicted ? ", predicted: " : ": ") + q(format_value(bar.total(), chart_.unit)) + "\n";
  }
  setAccessibleDescription(description);
  updateGeometry();
  update();
}

QSize StackedBars::sizeHint() const { return {720, heightForWidth(720)}; }
QSize StackedBars::minimumSizeHint() const { return {300, heightForWidth(300)}; }
int StackedBars::heightForWidth(int width) const {
  return static_cast<int>(std::ceil(compute_layout(width, 0).height));
}

std::vector<QString> StackedBars::legend_names() const {
  std::vector<QString> names;
  for (const BarSeries& series : chart_.series) names.push_back(q(series.name));
  const bool predictions =
      std::any_of(chart_.bars.begin(), chart_.bars.end(), [](const Bar& b) { return b.predicted; });
  if (predictions) names.push_back(QStringLiteral("predicted"));
  return names;
}

StackedBars::Layout StackedBars::compute_layout(int width, int height) const {
  Layout layout;
  const QFontMetricsF metrics(font());
  layout.line = metrics.height();
  layout.title_font = font();
  layout.title_font.setBold(true);
  double y = kMargin + metrics.ascent();
  layout.title = {kMargin, y};
  y += metrics.descent() + kGap;

  double x = kMargin;
  const double swatch = layout.line * 0.8;
  for (const QString& name : legend_names()) {
    const double entry = swatch + kGap / 2.0 + metrics.horizontalAdvance(name);
    if (x > kMargin && x + entry > width - kMargin) {
      x = kMargin;
      y += layout.line * 1.2;
    }
    layout.legend.push_back(
        {{x, y + layout.line * 0.1, swatch, swatch}, {x + swatch + kGap / 2.0, y + metrics.ascent()}});
    x += entry + 2 * kGap;
  }
  if (!chart_.series.empty()) y += layout.line * 1.2 + kGap;

  double labels = 0, totals = 0;
  for (const Bar& bar : chart_.bars) {
    labels = std::max(labels, metrics.horizontalAdvance(bar_label(bar)));
    totals = std::max(totals, metrics.horizontalAdvance(q(format_value(bar.total(), chart_.unit) + "  " + bar.note)));
  }
  if (chart_.longest() > 0) layout.longest = chart_.longest();
  layout.ticks = axis_ticks(chart_.longest(), chart_.unit, kTickTarget);
  if (layout.ticks.back() > layout.longest * (1 + 1e-9)) layout.ticks.pop_back();
  const double left = kMargin + labels + kGap;
  layout.bars = QRectF(left, y, std::max(1.0, width - left - kMargin - totals - kGap), 0);
  stack_bars(layout, height);
  layout.axis_text = layout.bars.bottom() + kGap / 2.0 + metrics.ascent();
  layout.height = layout.axis_text + metrics.descent() + kMargin;
  return layout;
}

/// Where the bars stand, from layout.bars.top() down: a prediction close under its run. They grow with the height that
/// there is, up to a limit.
void StackedBars::stack_bars(Layout& layout, int height) const {
  const auto count = static_cast<double>(chart_.bars.size());
  double gaps = 0;
  for (std::size_t i = 1; i < chart_.bars.size(); ++i) gaps += chart_.bars[i].predicted ? kPairGap : kGap;
  const double below = layout.line + kGap / 2.0 + kMargin;
  const double room = count > 0 ? (height - layout.bars.top() - gaps - below) / count : 0;
  layout.bar_height = std::floor(std::clamp(room, layout.line * kBarHeightInLines, layout.line * kTallestBarInLines));
  double y = layout.bars.top();
  for (std::size_t i = 0; i < chart_.bars.size(); ++i) {
    if (i > 0) y += chart_.bars[i].predicted ? kPairGap : kGap;
    layout.tops.push_back(y);
    y += layout.bar_height;
  }
  layout.bars.setBottom(y);
}

void StackedBars::paintEvent(QPaintEvent*) {
  const Layout layout = compute_layout(width(), height());
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  painter.setPen(palette().color(QPalette::WindowText));
  painter.setFont(layout.title_font);
  painter.drawText(layout.title, q(chart_.title));
  painter.setFont(font());
  if (chart_.bars.empty()) {
    painter.setPen(faint(palette(), 0.75));
    painter.drawText(rect().adjusted(kMargin, kMargin, -kMargin, -kMargin), Qt::AlignCenter | Qt::TextWordWrap,
                     q(chart_.empty_text));
    return;
  }
  paint_legend(painter, layout);
  paint_axis(painter, layout);
  for (std::size_t i = 0; i < chart_.bars.size(); ++i) paint_bar(painter, layout, static_cast<int>(i));
}

void StackedBars::paint_legend(QPainter& painter, const Layout& layout) const {
  const std::vector<QString> names = legend_names();
  for (std::size_t i = 0; i < names.size(); ++i) {
    const QRectF& swatch = layout.legend[i].swatch;
    if (i < chart_.series.size()) {
      painter.fillRect(swatch, colour(chart_.series[i].colour));
    } else {
      painter.fillRect(swatch, colour(kGrey));
      paint_hatch(painter, swatch);
    }
    painter.setPen(palette().color(QPalette::WindowText));
    painter.drawText(layout.legend[i].text, names[i]);
  }
}

void StackedBars::paint_axis(QPainter& painter, const Layout& layout) const {
  const QFontMetricsF metrics(font());
  double free_from = 0;  // the last mark's text must end before the next begins
  for (double tick : layout.ticks) {
    const double x = std::round(layout.x_of(tick)) + 0.5;
    painter.setPen(faint(palette(), 0.18));
    painter.drawLine(QPointF(x, layout.bars.top() - 2), QPointF(x, layout.bars.bottom() + 2));
    const QString text = q(format_value(tick, chart_.unit));
    const double left =
        std::min(x - metrics.horizontalAdvance(text) / 2, width() - metrics.horizontalAdvance(text) - 2.0);
    if (left < free_from) continue;
    painter.setPen(faint(palette(), 0.75));
    painter.drawText(QPointF(left, layout.axis_text), text);
    free_from = left + metrics.horizontalAdvance(text) + kGap;
  }
}

void StackedBars::paint_bar(QPainter& painter, const Layout& layout, int index) const {
  const Bar& bar = chart_.bars[static_cast<std::size_t>(index)];
  const QFontMetricsF metrics(font());
  const double top = layout.tops[static_cast<std::size_t>(index)];
  const double baseline = top + (layout.bar_height + metrics.ascent() - metrics.descent()) / 2;
  painter.setPen(bar.predicted ? faint(palette(), 0.75) : palette().color(QPalette::WindowText));
  const QString label = bar_label(bar);
  painter.drawText(QPointF(layout.bars.left() - kGap - metrics.horizontalAdvance(label), baseline), label);

  for (std::size_t s = 0; s < bar.values.size(); ++s) {
    const QRectF rect = segment_rect(index, static_cast<int>(s));
    if (!rect.isEmpty()) paint_segment(painter, rect, chart_.series[s], bar.predicted);
  }
  painter.setPen(bar.predicted ? faint(palette(), 0.75) : palette().color(QPalette::WindowText));
  const QString total = q(format_value(bar.total(), chart_.unit) + (bar.note.empty() ? "" : "  " + bar.note));
  painter.drawText(QPointF(layout.x_of(bar.total()) + kGap / 2.0, baseline), total);
}

QRectF StackedBars::segment_rect(int bar, int series) const {
  if (bar < 0 || series < 0 || bar >= static_cast<int>(chart_.bars.size())) return {};
  const std::vector<double>& values = chart_.bars[static_cast<std::size_t>(bar)].values;
  if (series >= static_cast<int>(values.size())) return {};
  const Layout layout = compute_layout(width(), height());
  double before = 0;
  for (int s = 0; s < series; ++s) before += values[static_cast<std::size_t>(s)];
  const double left = layout.x_of(before), right = layout.x_of(before + values[static_cast<std::size_t>(series)]);
  const double gap = right - left > 3 ? 1 : 0;  // neighbours stay apart wherever there is room for it
  return {left, layout.tops[static_cast<std::size_t>(bar)], right - left - gap, layout.bar_height};
}

QString StackedBars::describe(int bar, int series) const {
  const Bar& row = chart_.bars[static_cast<std::size_t>(bar)];
  const std::size_t s = static_cast<std::size_t>(series);
  return QStringLiteral("%1%2: %3 %4 of %5")
      .arg(q(row.label), row.predicted ? QStringLiteral(", predicted") : QString(), q(chart_.series[s].name),
           q(format_value(row.values[s], chart_.unit)), q(format_value(row.total(), chart_.unit)));
}

QString StackedBars::text_at(QPointF point) const {
  for (int bar = 0; bar < static_cast<int>(chart_.bars.size()); ++bar) {
    for (int s = 0; s < static_cast<int>(chart_.series.size()); ++s) {
      if (segment_rect(bar, s).contains(point)) return describe(bar, s);
    }
  }
  return {};
}

bool StackedBars::event(QEvent* event) {
  if (event->type() == QEvent::ToolTip) {
    const auto* help = static_cast<QHelpEvent*>(event);
    QToolTip::showText(help->globalPos(), text_at(help->pos()), this);
    return true;
  }
  return QWidget::event(event);
}

}  // namespace shardscope::gui
