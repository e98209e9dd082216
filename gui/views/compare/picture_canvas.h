#pragma once
// A widget that shows a Picture, drawn anew for its size, and says what the pointer does on it.
//
//   canvas->set_draw([this](double width, double height) { return draw_waterfall(...); });
//   canvas->set_describe([this](QPointF at) { return text_at(at); });        // its tooltip, at once

#include <QImage>
#include <QWidget>
#include <functional>
#include <optional>

#include "gui/models/picture.h"

namespace shardscope::gui {

class PictureCanvas : public QWidget {
  Q_OBJECT

 public:
  explicit PictureCanvas(QWidget* parent = nullptr);
  void set_draw(std::function<Picture(double width, double height)> draw);
  void set_describe(std::function<QString(QPointF at)> describe) { describe_ = std::move(describe); }
  void redraw();  ///< what it shows has changed
  /// A vertical line over the picture from `top` to `bottom`, and a stretch that is being chosen; without a redraw.
  void set_hair(std::optional<double> x, double top = 0, double bottom = 0);
  void set_stretch(std::optional<std::pair<double, double>> from_to, double top = 0, double bottom = 0);

 Q_SIGNALS:
  void hovered(QPointF at);  ///< also while a button is down
  void clicked(QPointF at);
  void double_clicked(QPointF at);
  void dragged(QPointF from, QPointF to, Qt::KeyboardModifiers modifiers, bool middle, bool ended);
  void wheeled(QPointF at, int steps, Qt::KeyboardModifiers modifiers);  ///< an eighth of a degree; up is above 0
  void resized();

 protected:
  void paintEvent(QPaintEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseReleaseEvent(QMouseEvent* event) override;
  void mouseDoubleClickEvent(QMouseEvent* event) override;
  void wheelEvent(QWheelEvent* event) override;
  void leaveEvent(QEvent* event) override;

 private:
  struct Band {
    double left = 0, right = 0, top = 0, bottom = 0;
  };
  std::function<Picture(double, double)> draw_;
  std::function<QString(QPointF)> describe_;
  QImage image_;  ///< null: to be drawn
  std::optional<Band> hair_, stretch_;
  std::optional<QPointF> pressed_;
  bool moved_ = false, middle_ = false;
};

}  // namespace shardscope::gui
