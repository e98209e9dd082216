#include "gui/views/timeline/minimap.h"

#include <QMouseEvent>
#include <QPainter>
#include <algorithm>
#include <cmath>

#include "gui/models/timeline_colours.h"
#include "gui/models/timeline_layout.h"
#include "gui/models/timeline_rows.h"
#include "gui/paint/paint_picture.h"

namespace shardscope::gui {
namespace {

constexpr double kHitHeight = 6, kThinnestFrame = 6;

}  // namespace

Minimap::Minimap(QWidget* parent) : QWidget(parent) {
  setObjectName(QStringLiteral("minimap"));
  setAccessibleName(QStringLiteral("Overview of the whole run"));
  setFixedHeight(sizeHint().height());
  setCursor(Qt::PointingHandCursor);
}

void Minimap::set_run(TimeWindow extent, std::vector<Stack> activity) {
  extent_ = extent;
  activity_ = std::move(activity);
  update();
}

void Minimap::set_window(TimeWindow window) {
  window_ = window;
  update();
}

void Minimap::set_hits(std::vector<std::int64_t> columns) {
  hits_ = std::move(columns);
  update();
}

void Minimap::set_dark(bool dark) {
  dark_ = dark;
  update();
}

Picture Minimap::picture() const {
  const TimelineShades shades = shades_of(dark_);
  const double wide = width(), high = height();
  Picture picture(wide, high, shades.row);
  if (extent_.length() <= 0) return picture;
  if (!activity_.empty()) {
    std::vector<Stack> columns(static_cast<std::size_t>(width()));
    for (std::size_t x = 0; x < columns.size(); ++x) columns[x] = activity_[x * activity_.size() / columns.size()];
    picture.strip(0, kHitHeight, high - kHitHeight, std::move(columns), work_looks());
  }
  for (std::size_t i = 0; i < hits_.size(); ++i) {
    const double x = std::floor(static_cast<double>(i) * wide / static_cast<double>(hits_.size()));
    if (hits_[i] > 0)
      picture.fill(x, 0, std::max(2.0, wide / static_cast<double>(hits_.size())), kHitHeight - 1, kOrange);
  }
  const double left = std::floor(x_of(window_.begin_ns, extent_, wide)),
               right = std::ceil(x_of(window_.end_ns, extent_, wide));
  const double frame = std::max(kThinnestFrame, right - left), at = std::clamp(left, 0.0, wide - frame);
  picture.frame(at, 0, frame, high, shades.text);
  picture.frame(at + 1, 1, frame - 2, high - 2, shades.text);
  return picture;
}

void Minimap::paintEvent(QPaintEvent* /*event*/) {
  QPainter painter(this);
  paint(painter, picture());
}

void Minimap::mousePressEvent(QMouseEvent* event) {
  if (extent_.length() <= 0 || event->button() != Qt::LeftButton) return;
  ++gesture_;
  const double x = event->position().x(), left = x_of(window_.begin_ns, extent_, width()),
               right = x_of(window_.end_ns, extent_, width());
  hold_ = x >= left && x <= right ? x - left : (right - left) / 2;
  go_to(x);
}

void Minimap::mouseMoveEvent(QMouseEvent* event) {
  if (event->buttons().testFlag(Qt::LeftButton) && extent_.length() > 0) go_to(event->position().x());
}

void Minimap::go_to(double x) {
  const std::int64_t begin = time_at(x - hold_, extent_, width());
  Q_EMIT asked(clamp({begin, begin + window_.length()}, extent_), gesture_);
}

}  // namespace shardscope::gui
