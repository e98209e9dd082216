#include "gui/views/compare/picture_canvas.h"

#include <QMouseEvent>
#include <QPainter>
#include <QToolTip>
#include <QWheelEvent>

#include "gui/models/plain_text.h"
#include "gui/paint/paint_picture.h"

namespace shardscope::gui {
namespace {

constexpr double kDragFrom = 4;  // pixels: less is a click

}  // namespace

PictureCanvas::PictureCanvas(QWidget* parent) : QWidget(parent) {
  setMouseTracking(true);
  setFocusPolicy(Qt::StrongFocus);
  setAttribute(Qt::WA_OpaquePaintEvent);
  setMinimumSize(200, 120);
}

void PictureCanvas::set_draw(std::function<Picture(double, double)> draw) {
  draw_ = std::move(draw);
  redraw();
}

void PictureCanvas::redraw() {
  image_ = {};
  update();
}

void PictureCanvas::set_hair(std::optional<double> x, double top, double bottom) {
  hair_ = x ? std::optional(Band{*x, *x, top, bottom}) : std::nullopt;
  update();
}

void PictureCanvas::set_stretch(std::optional<std::pair<double, double>> from_to, double top, double bottom) {
  stretch_.reset();
  if (from_to)
    stretch_ = Band{std::min(from_to->first, from_to->second), std::max(from_to->first, from_to->second), top, bottom};
  update();
}

void PictureCanvas::paintEvent(QPaintEvent* /*event*/) {
  if (image_.isNull() && draw_) {
    image_ = paint_image(draw_(width(), height()), devicePixelRatioF());
    image_.setDevicePixelRatio(devicePixelRatioF());
  }
  QPainter painter(this);
  if (image_.isNull()) painter.fillRect(rect(), palette().base());
  painter.drawImage(0, 0, image_);
  const QColor ink = palette().color(QPalette::WindowText);
  if (hair_) painter.fillRect(QRectF(std::floor(hair_->left), hair_->top, 1, hair_->bottom - hair_->top), ink);
  if (stretch_) {
    painter.setPen(QPen(ink, 2));
    painter.drawRect(
        QRectF(stretch_->left, stretch_->top, stretch_->right - stretch_->left, stretch_->bottom - stretch_->top));
  }
  if (hasFocus()) {
    painter.setPen(QPen(palette().color(QPalette::Highlight), 2));
    painter.drawRect(QRectF(rect()).adjusted(1, 1, -1, -1));
  }
}

void PictureCanvas::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  redraw();
  Q_EMIT resized();
}

void PictureCanvas::mouseMoveEvent(QMouseEvent* event) {
  const QPointF at = event->position();
  Q_EMIT hovered(at);
  if (pressed_ && (moved_ || (at - *pressed_).manhattanLength() >= kDragFrom)) {
    moved_ = true;
    Q_EMIT dragged(*pressed_, at, event->modifiers(), middle_, false);
    return;
  }
  const QString text = describe_ ? describe_(at) : QString();
  text.isEmpty() ? QToolTip::hideText() : QToolTip::showText(event->globalPosition().toPoint(), plain_tip(text), this);
}

void PictureCanvas::mousePressEvent(QMouseEvent* event) {
  if (event->button() != Qt::LeftButton && event->button() != Qt::MiddleButton) return;
  pressed_ = event->position();
  middle_ = event->button() == Qt::MiddleButton;
  moved_ = false;
}

void PictureCanvas::mouseReleaseEvent(QMouseEvent* event) {
  if (!pressed_) return;
  const QPointF from = *pressed_;
  pressed_.reset();
  if (moved_) {
    Q_EMIT dragged(from, event->position(), event->modifiers(), middle_, true);
  } else if (!middle_) {
    Q_EMIT clicked(event->position());
  }
}

void PictureCanvas::mouseDoubleClickEvent(QMouseEvent* event) {
  pressed_.reset();
  Q_EMIT double_clicked(event->position());
}

void PictureCanvas::wheelEvent(QWheelEvent* event) {
  // Alt turns the wheel by the other axis.
  const int steps = event->angleDelta().y() != 0 ? event->angleDelta().y() : event->angleDelta().x();
  Q_EMIT wheeled(event->position(), steps, event->modifiers());
  event->accept();
}

void PictureCanvas::leaveEvent(QEvent* event) {
  QWidget::leaveEvent(event);
  Q_EMIT hovered({-1, -1});
}

}  // namespace shardscope::gui
