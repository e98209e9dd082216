#include "gui/views/memory/memory_canvas.h"

#include <QHelpEvent>
#include <QMouseEvent>
#include <QPainter>
#include <QToolTip>
#include <algorithm>
#include <cmath>

#include "gui/models/plain_text.h"
#include "gui/models/timeline_colours.h"
#include "gui/paint/paint_picture.h"

namespace shardscope::gui {
namespace {

constexpr double kDragFrom = 4;  ///< pixels: a shorter one is a click
constexpr double kNotch = 120;   ///< what a wheel says for one notch
constexpr double kZoomPerNotch = 0.8, kPanPerNotch = 0.1;
constexpr qint64 kOneGestureMs = 600;

QColor colour(Rgb c) { return {c.r, c.g, c.b}; }

}  // namespace

int next_memory_gesture() {
  static int last = 0;
  return ++last;
}

MemoryCanvas::MemoryCanvas(QWidget* parent) : QWidget(parent), measure_(text_width()) {
  setAttribute(Qt::WA_OpaquePaintEvent);
  setMouseTracking(true);
  setFocusPolicy(Qt::StrongFocus);
  setObjectName(QStringLiteral("canvas"));
  setAccessibleName(QStringLiteral("Live memory of each rank over time"));
  setAccessibleDescription(
      QStringLiteral("The same as numbers is in the table below; full stop and comma go from change to change."));
}

void MemoryCanvas::show_data(std::shared_ptr<const MemoryData> fresh, TimelineTitle title, const MemoryState& state) {
  data_ = std::move(fresh);
  title_ = std::move(title);
  state_ = state;
  text_.clear();
  image_ = {};
  update();
}

void MemoryCanvas::show_text(const QString& text) {
  text_ = text;
  data_.reset();
  image_ = {};
  update();
}

MemoryFrame MemoryCanvas::frame() const {
  return memory_frame(data_ ? data_->ranks.size() : 0, state_.ranks, width(), height());
}

Picture MemoryCanvas::picture(double width, double height) const {
  if (data_) return draw_memory(*data_, title_, state_, width, height, measure_);
  const TimelineShades shades = shades_of(state_.dark);
  Picture picture(width, height, shades.ground);
  draw_paragraph(picture, 12, 24, width - 24, text_.toStdString(), shades.text, measure_);
  return picture;
}

MemoryHit MemoryCanvas::hit_at(QPointF at) const {
  return data_ ? hit_memory(*data_, state_, width(), height(), measure_, at.x(), at.y()) : MemoryHit{};
}

std::int64_t MemoryCanvas::time_at_x(double x) const {
  const MemoryFrame f = frame();
  return time_at(std::clamp(x - f.left, 0.0, f.width), data_->window, f.width);
}

void MemoryCanvas::paintEvent(QPaintEvent* /*event*/) {
  QPainter painter(this);
  const TimelineShades shades = shades_of(state_.dark);
  if (!data_) {
    painter.fillRect(rect(), colour(shades.ground));
    painter.setPen(colour(shades.text));
    painter.drawText(rect().adjusted(24, 24, -24, -24), Qt::AlignCenter | Qt::TextWordWrap, text_);
    return;
  }
  if (image_.isNull() || image_.devicePixelRatio() != devicePixelRatioF()) {
    image_ = paint_image(picture(width(), height()), devicePixelRatioF());
    image_.setDevicePixelRatio(devicePixelRatioF());
  }
  painter.drawImage(0, 0, image_);
  const MemoryFrame f = frame();
  if (!pointer_ || data_->ranks.empty() || pointer_->x() < f.left || pointer_->x() > f.left + f.width) return;
  painter.setPen(QPen(colour(shades.text), 1, Qt::DotLine));
  const auto line = [&](double x) { painter.drawLine(QPointF(x, f.top), QPointF(x, f.bottom)); };
  line(std::floor(pointer_->x()) + 0.5);
  if (drag_ == Drag::kRegion) line(std::floor(pressed_at_.x()) + 0.5);
}

void MemoryCanvas::resizeEvent(QResizeEvent* /*event*/) {
  image_ = {};
  Q_EMIT resized();
}

bool MemoryCanvas::event(QEvent* event) {
  if (event->type() != QEvent::ToolTip) return QWidget::event(event);
  const auto* help = static_cast<QHelpEvent*>(event);
  const QString text = data_ ? QString::fromStdString(describe(*data_, hit_at(help->pos()))) : QString();
  text.isEmpty() ? QToolTip::hideText() : QToolTip::showText(help->globalPos(), plain_tip(text), this);
  return true;
}

void MemoryCanvas::leaveEvent(QEvent* /*event*/) {
  pointer_.reset();
  update();
}

void MemoryCanvas::mousePressEvent(QMouseEvent* event) {
  if (!data_ || data_->ranks.empty()) return;
  const bool pans = event->button() == Qt::MiddleButton || event->modifiers().testFlag(Qt::ShiftModifier);
  if (event->button() != Qt::LeftButton && !pans) return;
  drag_ = pans ? Drag::kPan : Drag::kPress;
  pressed_at_ = event->position();
  pressed_window_ = data_->window;
  gesture_ = next_memory_gesture();
}

void MemoryCanvas::mouseMoveEvent(QMouseEvent* event) {
  pointer_ = event->position();
  const MemoryFrame f = frame();
  const bool in_time = pressed_at_.x() >= f.left && pressed_at_.x() <= f.left + f.width;
  if (drag_ == Drag::kPress && in_time && std::abs(pointer_->x() - pressed_at_.x()) > kDragFrom) drag_ = Drag::kRegion;
  if (drag_ == Drag::kPan && data_) {
    MemoryState wanted = state_;
    wanted.window = pan(pressed_window_, data_->extent, (pressed_at_.x() - event->position().x()) / f.width);
    Q_EMIT state_asked(wanted, gesture_);
  }
  update();
  if (drag_ != Drag::kNone || !data_ || !isActiveWindow()) return;
  const QString text = QString::fromStdString(describe(*data_, hit_at(event->position())));
  text.isEmpty() ? QToolTip::hideText()
                 : QToolTip::showText(event->globalPosition().toPoint() + QPoint(12, 14), text, this);
}

void MemoryCanvas::mouseReleaseEvent(QMouseEvent* event) {
  const Drag drag = drag_;
  drag_ = Drag::kNone;
  update();
  if (!data_) return;
  if (drag == Drag::kPress) click(hit_at(event->position()));
  if (drag == Drag::kRegion) zoom_to_region(pressed_at_.x(), event->position().x());
}

void MemoryCanvas::click(const MemoryHit& hit) {
  MemoryState wanted = state_;
  if (hit.part == MemoryHit::Part::kLegend) {
    if (wanted.hidden.erase(hit.category) == 0) wanted.hidden.insert(hit.category);
  } else if (hit.part == MemoryHit::Part::kPanel || hit.part == MemoryHit::Part::kHeat) {
    wanted.cursor = MemoryCursor{hit.rank, hit.time_ns};
  } else if (hit.part == MemoryHit::Part::kPeak) {
    wanted.ranks = MemoryRanks::kOne;
    wanted.rank = hit.rank;
  } else {
    return;
  }
  Q_EMIT state_asked(wanted, gesture_);  // NOLINT(readability-misleading-indentation): an empty macro
}

void MemoryCanvas::zoom_to_region(double from, double to) {
  MemoryState wanted = state_;
  wanted.window = clamp({time_at_x(std::min(from, to)), time_at_x(std::max(from, to))}, data_->extent);
  if (wanted.window.length() < kShortestWindowNs) return;
  Q_EMIT state_asked(wanted, gesture_);
}

/// One rank alone, and back.
void MemoryCanvas::mouseDoubleClickEvent(QMouseEvent* event) {
  const MemoryHit hit = hit_at(event->position());
  if (hit.part != MemoryHit::Part::kPanel && hit.part != MemoryHit::Part::kHeat) return;
  MemoryState wanted = state_;
  wanted.ranks = state_.ranks == MemoryRanks::kOne && state_.rank == hit.rank ? MemoryRanks::kWorst : MemoryRanks::kOne;
  wanted.rank = hit.rank;
  Q_EMIT state_asked(wanted, next_memory_gesture());
}

int MemoryCanvas::wheel_gesture(int kind) {
  if (!last_wheel_.isValid() || last_wheel_.elapsed() > kOneGestureMs || kind != wheel_kind_)
    gesture_ = next_memory_gesture();
  last_wheel_.start();
  wheel_kind_ = kind;
  return gesture_;
}

/// Ctrl zooms, Shift pans, neither scrolls the ranks: never two of them.
void MemoryCanvas::wheelEvent(QWheelEvent* event) {
  if (!data_ || data_->ranks.empty()) return;
  const QPoint delta = event->angleDelta();
  const double notches = (delta.y() != 0 ? delta.y() : delta.x()) / kNotch;
  MemoryState wanted = state_;
  int kind = 1;
  if (event->modifiers().testFlag(Qt::ControlModifier)) {
    wanted.window =
        zoom(data_->window, data_->extent, std::pow(kZoomPerNotch, notches), time_at_x(event->position().x()));
  } else if (event->modifiers().testFlag(Qt::ShiftModifier)) {
    kind = 2;
    wanted.window = pan(data_->window, data_->extent, -notches * kPanPerNotch);
  } else {
    kind = 3;
    const int last = std::max(0, static_cast<int>(data_->ranks.size()) - frame().panels);
    wanted.first = std::clamp(state_.first - static_cast<int>(std::lround(notches)), 0, last);
  }
  event->accept();
  if (!(wanted == state_)) Q_EMIT state_asked(wanted, wheel_gesture(kind));
}

}  // namespace shardscope::gui
