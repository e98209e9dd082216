#include "gui/views/plan/plan_canvas.h"

#include <QHelpEvent>
#include <QKeyEvent>
#include <QMouseEvent>
#include <QPainter>
#include <QToolTip>
#include <cmath>

#include "gui/models/timeline_colours.h"
#include "gui/paint/paint_picture.h"

namespace shardscope::gui {

PlanCanvas::PlanCanvas(QWidget* parent) : QWidget(parent), measure_(text_width()) {
  setMouseTracking(true);
  setFocusPolicy(Qt::StrongFocus);
  setAttribute(Qt::WA_OpaquePaintEvent);
  setAccessibleName(QStringLiteral("Cost against days"));
}

void PlanCanvas::show_plan(std::shared_ptr<const PlanResult> result, const Relief& relief, const PlanState& state) {
  result_ = std::move(result);
  relief_ = relief;
  state_ = state;
  hovered_.reset();
  lay_out();
  QStringList lines;
  if (const PlanDot* dot = chosen_dot(*result_, state_)) {
    for (const std::string& line : describe_dot(*result_, *dot)) lines << QString::fromStdString(line);
  }
  setAccessibleDescription(lines.isEmpty() ? QString::fromStdString(result_->problem)
                                           : QStringLiteral("Chosen: ") + lines.join(QStringLiteral("; ")));
  update();
}

void PlanCanvas::lay_out() { layout_ = plan_layout(*result_, state_, width(), height(), measure_); }

Picture PlanCanvas::picture(double width, double height) const {
  return draw_plan(*result_, relief_, state_, width, height, measure_);
}

void PlanCanvas::paintEvent(QPaintEvent* /*event*/) {
  QPainter painter(this);
  const QImage image = paint_image(picture(width(), height()), devicePixelRatioF());
  painter.drawImage(QRectF(rect()), image);
  const Rgb text = shades_of(state_.dark).text;
  const QColor colour(text.r, text.g, text.b);
  painter.setRenderHint(QPainter::Antialiasing);
  if (hovered_) {
    painter.setPen(QPen(colour, 2));
    const Point p = layout_.places[*hovered_];
    painter.drawEllipse(QPointF(p.x, p.y), 10, 10);
  }
  if (hasFocus()) {
    painter.setPen(QPen(palette().color(QPalette::Highlight), 2));
    painter.drawRect(QRectF(rect()).adjusted(1, 1, -1, -1));
  }
}

void PlanCanvas::resizeEvent(QResizeEvent* event) {
  lay_out();
  QWidget::resizeEvent(event);
}

void PlanCanvas::set_hovered(std::optional<std::size_t> dot) {
  if (dot == hovered_) return;
  hovered_ = dot;
  setCursor(dot ? Qt::PointingHandCursor : Qt::ArrowCursor);
  update();
}

QString PlanCanvas::tip(std::size_t dot) const {
  QStringList lines;
  for (const std::string& line : describe_dot(*result_, result_->dots[dot])) lines << QString::fromStdString(line);
  lines << QStringLiteral("Click: choose. Double-click or Enter: simulate and open its timeline");
  return lines.join(QLatin1Char('\n'));
}

/// At once: a tip that waits is no use for going over many marks.
void PlanCanvas::mouseMoveEvent(QMouseEvent* event) {
  set_hovered(dot_at(layout_, *result_, event->position().x(), event->position().y()));
  if (hovered_) {
    QToolTip::showText(event->globalPosition().toPoint(), tip(*hovered_), this);
  } else {
    QToolTip::hideText();
  }
}

bool PlanCanvas::event(QEvent* event) {
  if (event->type() == QEvent::ToolTip) return true;  // shown by mouseMoveEvent
  if (event->type() == QEvent::FocusIn || event->type() == QEvent::FocusOut) update();
  return QWidget::event(event);
}

void PlanCanvas::leaveEvent(QEvent* event) {
  set_hovered(std::nullopt);
  QWidget::leaveEvent(event);
}

void PlanCanvas::mousePressEvent(QMouseEvent* event) {
  if (event->button() != Qt::LeftButton) return QWidget::mousePressEvent(event);
  setFocus(Qt::MouseFocusReason);
  if (const auto dot = dot_at(layout_, *result_, event->position().x(), event->position().y())) Q_EMIT chosen(*dot);
}

void PlanCanvas::mouseDoubleClickEvent(QMouseEvent* event) {
  if (dot_at(layout_, *result_, event->position().x(), event->position().y())) Q_EMIT activated();
}

std::optional<std::size_t> PlanCanvas::neighbour(int dx, int dy) const {
  const PlanDot* chosen = chosen_dot(*result_, state_);
  if (chosen == nullptr) return std::nullopt;
  const Point from = layout_.places[static_cast<std::size_t>(chosen - result_->dots.data())];
  std::optional<std::size_t> best;
  double nearest = 1e300;
  for (std::size_t i = 0; i < layout_.places.size(); ++i) {
    const Point to = layout_.places[i];
    if (to.x < 0) continue;
    const double along = dx * (to.x - from.x) + dy * (to.y - from.y);
    const double across = std::abs(dx * (to.y - from.y)) + std::abs(dy * (to.x - from.x));
    if (along < 0.5) continue;
    const double distance = along + 2 * across;  // rather straight on than near
    if (distance >= nearest) continue;
    nearest = distance;
    best = i;
  }
  return best;
}

void PlanCanvas::keyPressEvent(QKeyEvent* event) {
  std::optional<std::size_t> next;
  switch (event->key()) {
    case Qt::Key_Left:
      next = neighbour(-1, 0);
      break;
    case Qt::Key_Right:
      next = neighbour(1, 0);
      break;
    case Qt::Key_Up:
      next = neighbour(0, -1);
      break;
    case Qt::Key_Down:
      next = neighbour(0, 1);
      break;
    case Qt::Key_Home:
      next = result_->recommended;
      break;
    default:
      return QWidget::keyPressEvent(event);
  }
  if (next) Q_EMIT chosen(*next);
}

}  // namespace shardscope::gui
