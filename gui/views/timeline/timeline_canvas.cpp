#include "gui/views/timeline/timeline_canvas.h"

#include <QHelpEvent>
#include <QMouseEvent>
#include <QPainter>
#include <QToolTip>
#include <algorithm>
#include <cmath>

#include "gui/models/plain_text.h"

namespace shardscope::gui {
namespace {

constexpr double kDragFrom = 4;   ///< pixels: a shorter one is a click
constexpr double kEdgeReach = 4;  ///< pixels around an edge of the area where it can be taken hold of
constexpr double kNotch = 120;    ///< what a wheel says for one notch
constexpr double kZoomPerNotch = 0.8, kPanPerNotch = 0.1, kRowsPerNotch = 54;
constexpr qint64 kOneGestureMs = 600;

}  // namespace

TimelineCanvas::TimelineCanvas(QWidget* parent) : QWidget(parent), measure_(text_width()) {
  setAttribute(Qt::WA_OpaquePaintEvent);
  setMouseTracking(true);
  setFocusPolicy(Qt::StrongFocus);
  setObjectName(QStringLiteral("canvas"));
  setAccessibleName(QStringLiteral("Timeline of ranks and lanes"));
  setAccessibleDescription(
      QStringLiteral("The same as numbers is in the tables below it; full stop and comma go from op to op."));
}

void TimelineCanvas::set_catalog(std::shared_ptr<const TimelineCatalog> catalog, TimelineTitle title) {
  // A run that has grown: its first tracks are those it had, and what is drawn of them stays until it is read anew.
  const bool grown = catalog && scene_.catalog && catalog->tracks.size() >= scene_.catalog->tracks.size() &&
                     !scene_.catalog->tracks.empty() && catalog->tracks.front().id == scene_.catalog->tracks.front().id;
  scene_.catalog = std::move(catalog);
  title_ = std::move(title);
  if (!grown) scene_.tile.reset();
  if (!grown) scene_.heat.reset();
  hover_.clear();
  rebuild_scene();
}

void TimelineCanvas::set_state(const TimelineState& state) {
  const TimelineState& old = scene_.state;
  const bool same_rows = old.expanded == state.expanded && old.pinned == state.pinned && old.order == state.order &&
                         old.scroll == state.scroll;
  const bool same_image =
      same_rows && old.window == state.window && old.dark == state.dark && old.metric == state.metric;
  if (scene_.catalog && same_rows) {
    scene_.state = state;
    scene_.window = clamp(state.window, scene_.catalog->extent);
    image_is_old_ |= !same_image;
    update();
    return;
  }
  scene_.state = state;
  rebuild_scene();
}

void TimelineCanvas::rebuild_scene() {
  image_is_old_ = true;
  update();
  if (!scene_.catalog) return;
  TimelineScene scene = make_scene(scene_.catalog, scene_.state, width(), height(), measure_);
  scene.tile = scene_.tile;
  scene.heat = scene_.heat;
  scene.hits = scene_.hits;
  scene_ = std::move(scene);
}

void TimelineCanvas::set_tile(std::shared_ptr<const TimelineTile> tile) {
  scene_.tile = std::move(tile);
  image_is_old_ = true;
  update();
}

void TimelineCanvas::set_heat(std::shared_ptr<const HeatMap> heat) {
  scene_.heat = std::move(heat);
  image_is_old_ = true;
  update();
}

void TimelineCanvas::set_flow(std::shared_ptr<const std::vector<FlowArrow>> flow) {
  scene_.flow = std::move(flow);
  update();
}

void TimelineCanvas::set_hits(std::map<int, std::int64_t> by_rank) {
  scene_.hits = std::move(by_rank);
  image_is_old_ = true;
  update();
}

void TimelineCanvas::set_empty_text(const QString& text) {
  empty_text_ = text;
  update();
}

void TimelineCanvas::set_hover(std::vector<TiedSpan> spans, const QString& text) {
  hover_ = std::move(spans);
  hover_text_ = text;
  update();
  if (text.isEmpty() || !pointer_ || !isActiveWindow()) return QToolTip::hideText();
  QToolTip::showText(mapToGlobal(pointer_->toPoint() + QPoint(12, 14)), plain_tip(text), this);
}

TileRequest TimelineCanvas::request() const {
  return {scene_.state, scene_.window, static_cast<int>(scene_.frame.width), scene_.frame.height, 0, 0};
}

bool TimelineCanvas::in_rows(QPointF at) const {
  const TimelineFrame& f = scene_.frame;
  return scene_.catalog && at.x() >= f.left && at.x() < f.left + f.width && at.y() >= f.top &&
         at.y() < f.top + f.height;
}

std::int64_t TimelineCanvas::time_at_x(double x) const {
  return time_at(std::clamp(x - scene_.frame.left, 0.0, scene_.frame.width), scene_.window, scene_.frame.width);
}

std::optional<TimelineRow> TimelineCanvas::row_at(QPointF at) const {
  return scene_.layout.pointed_at(at.y() - scene_.frame.top);
}

std::optional<int> TimelineCanvas::rank_at(QPointF at) const {
  const double y = at.y() - scene_.frame.top;
  if (const TimelineRow* row = scene_.layout.row_at(y)) return row->rank;
  const auto& heat = scene_.layout.heat;
  if (heat && y >= heat->y && y < heat->y + heat->height) return heat->rank_at(y);
  return std::nullopt;
}

std::int64_t TimelineCanvas::cursor_ns() const {
  const double middle = scene_.frame.left + scene_.frame.width / 2;
  return time_at_x(pointer_ && in_rows(*pointer_) ? pointer_->x() : middle);
}

std::optional<int> TimelineCanvas::cursor_rank() const {
  return pointer_ && scene_.catalog ? rank_at(*pointer_) : std::nullopt;
}

// ---- painting

void TimelineCanvas::paint_image() {
  Picture picture = draw_bars(scene_, measure_);
  picture.append(draw_around(scene_, title_, measure_));
  image_ = painter_.paint(picture, devicePixelRatioF());
  image_.setDevicePixelRatio(devicePixelRatioF());
  image_is_old_ = false;
  ++frames_;
}

void TimelineCanvas::paintEvent(QPaintEvent* /*event*/) {
  QPainter painter(this);
  if (!scene_.catalog) {
    const TimelineShades shades = shades_of(scene_.state.dark);
    painter.fillRect(rect(), QColor(shades.ground.r, shades.ground.g, shades.ground.b));
    painter.setPen(QColor(shades.text.r, shades.text.g, shades.text.b));
    painter.drawText(rect().adjusted(24, 24, -24, -24), Qt::AlignCenter | Qt::TextWordWrap, empty_text_);
    return;
  }
  if (image_is_old_ || image_.devicePixelRatio() != devicePixelRatioF()) paint_image();
  painter.drawImage(0, 0, image_);
  paint_over(painter, overlay());
}

Picture TimelineCanvas::overlay() const {
  Picture picture = draw_marks(scene_, measure_);
  draw_hover(picture);
  draw_region(picture);
  return picture;
}

/// A line through all rows at the pointer, and frames around what is under it and what belongs to that.
void TimelineCanvas::draw_hover(Picture& picture) const {
  const TimelineShades shades = shades_of(scene_.state.dark);
  for (const TiedSpan& tied : hover_) {
    const double left = std::floor(scene_.clamped_x(tied.span.begin_ns)),
                 right = std::ceil(scene_.clamped_x(tied.span.end_ns));
    for (const TimelineRow& row : scene_.layout.rows) {
      if (std::find(row.tracks.begin(), row.tracks.end(), tied.track) == row.tracks.end()) continue;
      const RowPlace place = scene_.place_of(row);
      if (place.height > 0 && right > left) picture.frame(left, place.y, right - left, place.height, shades.text);
    }
  }
  if (!pointer_ || !in_rows(*pointer_)) return;
  const double bottom = scene_.rows_bottom();
  picture.fill(std::floor(pointer_->x()), scene_.frame.top, 1, bottom - scene_.frame.top, shades.faint);
  const std::int64_t at = time_at_x(pointer_->x());
  const std::string text = format_time(at, std::max<std::int64_t>(1, scene_.window.length() / 1000));
  const double width = measure_(text, false) + 8;
  const double x = std::clamp(pointer_->x() - width / 2, 0.0, scene_.width - width);
  picture.fill(x, scene_.frame.top - 80, width, 16, shades.text);
  picture.text(x + 4, scene_.frame.top - 68, text, shades.ground);
}

void TimelineCanvas::draw_region(Picture& picture) const {
  if (drag_ != Drag::kRegion || !pointer_) return;
  const double left = std::min(pressed_at_.x(), pointer_->x()), right = std::max(pressed_at_.x(), pointer_->x());
  const TimelineShades shades = shades_of(scene_.state.dark);
  for (double at : {left, right}) {
    picture.line(at, scene_.frame.top, at, scene_.rows_bottom(), shades.text, {2, true});
  }
}

void TimelineCanvas::resizeEvent(QResizeEvent* /*event*/) {
  rebuild_scene();
  Q_EMIT resized();
}

// ---- pointer

TimelineCanvas::Drag TimelineCanvas::drag_for(const QMouseEvent& event) const {
  if (event.button() == Qt::MiddleButton || event.modifiers().testFlag(Qt::ShiftModifier)) return Drag::kPan;
  if (event.modifiers().testFlag(Qt::AltModifier)) return Drag::kRegion;
  if (const auto& area = scene_.state.area) {
    const double x = event.position().x();
    if (std::abs(x - scene_.x(area->time.begin_ns)) <= kEdgeReach) return Drag::kLeftEdge;
    if (std::abs(x - scene_.x(area->time.end_ns)) <= kEdgeReach) return Drag::kRightEdge;
  }
  return Drag::kPress;
}

void TimelineCanvas::mousePressEvent(QMouseEvent* event) {
  setFocus(Qt::MouseFocusReason);
  if (!scene_.catalog || drag_ != Drag::kNone) return;
  if (event->button() != Qt::LeftButton && event->button() != Qt::MiddleButton) return;
  pressed_at_ = event->position();
  pressed_state_ = scene_.state;
  pressed_state_.window = scene_.window;
  ++gesture_;
  wheel_kind_ = 0;
  if (in_rows(pressed_at_)) drag_ = drag_for(*event);
  if (drag_ == Drag::kNone && pressed_at_.x() < scene_.frame.left && event->button() == Qt::LeftButton) {
    const bool on_check = pressed_at_.x() < kCheckWidth && shows_checks(scene_.state);
    if (const auto rank = rank_at(pressed_at_)) on_check ? Q_EMIT rank_checked(*rank) : Q_EMIT rank_toggled(*rank);
  }
}

void TimelineCanvas::mouseMoveEvent(QMouseEvent* event) {
  pointer_ = event->position();
  update();
  const QPointF moved = *pointer_ - pressed_at_;
  if (drag_ == Drag::kPress && std::hypot(moved.x(), moved.y()) >= kDragFrom) drag_ = Drag::kArea;
  if (drag_ == Drag::kArea) return drag_area(*pointer_);
  if (drag_ == Drag::kPan) return drag_pan(*pointer_);
  if (drag_ == Drag::kLeftEdge || drag_ == Drag::kRightEdge) return drag_edge(*pointer_);
  if (drag_ != Drag::kNone) return;
  const std::optional<TimelineRow> row = in_rows(*pointer_) ? row_at(*pointer_) : std::nullopt;
  if (row) {
    Q_EMIT hovered(*row, time_at_x(pointer_->x()));
  } else {
    Q_EMIT left();
  }
}

/// From where the button went down to where the pointer is, with all ranks between.
void TimelineCanvas::drag_area(QPointF to) {
  TimelineState next = scene_.state;
  const std::int64_t a = time_at_x(pressed_at_.x()), b = time_at_x(to.x());
  if (a == b) return;
  TimelineArea area{{std::min(a, b), std::max(a, b)}, 0, 0};
  const std::optional<int> from = rank_at(pressed_at_), until = rank_at(to);
  const int last = scene_.catalog->tracks.back().rank;
  area.first_rank = std::min(from.value_or(last), until.value_or(last));
  area.last_rank = std::max(from.value_or(last), until.value_or(last));
  next.area = area;
  next.selection.reset();
  Q_EMIT state_asked(next, gesture_);
}

/// By whole pixels, so that the columns stay what they are.
void TimelineCanvas::drag_pan(QPointF to) {
  TimelineState next = scene_.state;
  const double pixels = std::round(pressed_at_.x() - to.x());
  const TimeWindow from = pressed_state_.window;
  next.window = pan(from, scene_.catalog->extent, pixels / scene_.frame.width);
  next.scroll = std::clamp(pressed_state_.scroll + pressed_at_.y() - to.y(), 0.0,
                           scene_.layout.furthest_scroll(scene_.frame.height));
  Q_EMIT state_asked(next, gesture_);
}

void TimelineCanvas::drag_edge(QPointF to) {
  TimelineState next = scene_.state;
  if (!next.area) return;
  std::int64_t& edge = drag_ == Drag::kLeftEdge ? next.area->time.begin_ns : next.area->time.end_ns;
  edge = time_at_x(to.x());
  if (next.area->time.length() > 0) Q_EMIT state_asked(next, gesture_);
}

void TimelineCanvas::mouseReleaseEvent(QMouseEvent* event) { end_drag(event->position()); }

void TimelineCanvas::end_drag(QPointF at) {
  const Drag drag = std::exchange(drag_, Drag::kNone);
  update();
  if (drag == Drag::kPress) {
    if (const std::optional<TimelineRow> row = row_at(at)) {
      Q_EMIT picked(*row, time_at_x(at.x()), false);
    } else if (const auto rank = rank_at(at)) {
      Q_EMIT rank_toggled(*rank);
    }
  }
  if (drag == Drag::kRegion && std::abs(at.x() - pressed_at_.x()) >= kDragFrom) {
    TimelineState next = scene_.state;
    const std::int64_t a = time_at_x(pressed_at_.x()), b = time_at_x(at.x());
    next.window = {std::min(a, b), std::max(a, b)};
    if (next.window.length() < kShortestWindowNs) next.window.end_ns = next.window.begin_ns + kShortestWindowNs;
    Q_EMIT state_asked(next, gesture_);
  }
}

void TimelineCanvas::mouseDoubleClickEvent(QMouseEvent* event) {
  if (!in_rows(event->position()) || event->button() != Qt::LeftButton) return;
  if (const std::optional<TimelineRow> row = row_at(event->position()))
    Q_EMIT picked(*row, time_at_x(event->position().x()), true);
}

/// Turns that follow one another are one gesture, and one gesture does one thing: what it began with.
int TimelineCanvas::wheel_gesture(int kind) {
  const bool goes_on = last_wheel_.isValid() && last_wheel_.elapsed() < kOneGestureMs && wheel_kind_ == kind;
  if (!goes_on) ++gesture_;
  wheel_kind_ = kind;
  last_wheel_.restart();
  return gesture_;
}

void TimelineCanvas::wheelEvent(QWheelEvent* event) {
  event->accept();
  if (!scene_.catalog || scene_.window.length() <= 0) return;
  // With Alt or Shift some platforms turn the wheel's direction.
  const QPoint delta = event->angleDelta();
  const double notches = (delta.y() != 0 ? delta.y() : delta.x()) / kNotch;
  TimelineState next = scene_.state;
  int kind = 3;
  if (event->modifiers().testFlag(Qt::ControlModifier)) {
    kind = 1;
    next.window =
        zoom(scene_.window, scene_.catalog->extent, std::pow(kZoomPerNotch, notches), time_at_x(event->position().x()));
  } else if (event->modifiers().testFlag(Qt::ShiftModifier) || delta.y() == 0) {
    kind = 2;
    const double pixels = std::round(-notches * kPanPerNotch * scene_.frame.width);
    next.window = pan(scene_.window, scene_.catalog->extent, pixels / scene_.frame.width);
  } else {
    next.scroll =
        std::clamp(next.scroll - notches * kRowsPerNotch, 0.0, scene_.layout.furthest_scroll(scene_.frame.height));
  }
  Q_EMIT state_asked(next, wheel_gesture(kind));  // NOLINT(readability-misleading-indentation): an empty macro
}

void TimelineCanvas::leaveEvent(QEvent* /*event*/) {
  pointer_.reset();
  Q_EMIT left();
  update();
}

/// The tooltip is ours: shown as soon as the answer is there.
bool TimelineCanvas::event(QEvent* event) {
  if (event->type() == QEvent::ToolTip) return true;
  return QWidget::event(event);
}

}  // namespace shardscope::gui
