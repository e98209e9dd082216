#pragma once
// Horizontal stacked bars with a legend, an axis with units and each bar's total; predicted bars are hatched and stand
// under the measured ones. Painted by us, in the widget's palette (dark or light), to any paint device.
//
//   StackedBars* bars = new StackedBars(parent);
//   bars->set_chart(step_chart(runs));

#include <QPixmap>
#include <QWidget>
#include <vector>

#include "gui/models/bar_chart.h"

namespace shardscope::gui {

class StackedBars : public QWidget {
  Q_OBJECT

 public:
  explicit StackedBars(QWidget* parent = nullptr);

  void set_chart(BarChart chart);
  const BarChart& chart() const { return chart_; }

  QSize sizeHint() const override;
  QSize minimumSizeHint() const override;
  bool hasHeightForWidth() const override { return true; }
  int heightForWidth(int width) const override;

  /// Where a segment is drawn, empty if it has no width or there is none: for tooltips and tests.
  QRectF segment_rect(int bar, int series) const;
  /// "ZeRO-2, predicted: activation 120 MiB of 310 MiB" for the segment under a point; empty beside the bars.
  QString text_at(QPointF point) const;

 protected:
  void paintEvent(QPaintEvent* event) override;
  bool event(QEvent* event) override;

 private:
  struct Layout;
  std::vector<QString> legend_names() const;
  Layout compute_layout(int width, int height) const;
  void stack_bars(Layout& layout, int height) const;
  void paint_legend(QPainter& painter, const Layout& layout) const;
  void paint_axis(QPainter& painter, const Layout& layout) const;
  void paint_bar(QPainter& painter, const Layout& layout, int index) const;
  QString describe(int bar, int series) const;

  BarChart chart_;
};

}  // namespace shardscope::gui
