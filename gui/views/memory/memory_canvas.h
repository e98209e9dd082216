#pragma once
// The picture of the memory view, and the pointer on it. The picture is kept as an image and painted anew only when
// what it shows changes; the line at the pointer is painted over it.
//
//   canvas->show_data(data, title, state);
//   connect(canvas, &MemoryCanvas::state_asked, view, ...);   // what the pointer wants; nothing changes by itself

#include <QElapsedTimer>
#include <QImage>
#include <QWidget>
#include <memory>
#include <optional>

#include "gui/models/memory_picture.h"

namespace shardscope::gui {

class MemoryCanvas : public QWidget {
  Q_OBJECT

 public:
  explicit MemoryCanvas(QWidget* parent = nullptr);
  void show_data(std::shared_ptr<const MemoryData> fresh, TimelineTitle title, const MemoryState& state);
  void show_text(const QString& text);  ///< instead of data: nothing open, an error
  Picture picture(double width, double height) const;
  MemoryHit hit_at(QPointF at) const;
  const QString& text() const { return text_; }
  QSize minimumSizeHint() const override { return {480, 260}; }

 Q_SIGNALS:
  void state_asked(const shardscope::gui::MemoryState& state, int gesture);
  void resized();

 protected:
  bool event(QEvent* event) override;
  void paintEvent(QPaintEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void mouseReleaseEvent(QMouseEvent* event) override;
  void mouseDoubleClickEvent(QMouseEvent* event) override;
  void wheelEvent(QWheelEvent* event) override;
  void leaveEvent(QEvent* event) override;

 private:
  enum class Drag { kNone, kPress, kRegion, kPan };
  MemoryFrame frame() const;
  std::int64_t time_at_x(double x) const;
  void click(const MemoryHit& hit);
  void zoom_to_region(double from, double to);
  int wheel_gesture(int kind);

  std::shared_ptr<const MemoryData> data_;
  TimelineTitle title_;
  MemoryState state_;
  QString text_;
  TextWidth measure_;
  QImage image_;
  std::optional<QPointF> pointer_;
  Drag drag_ = Drag::kNone;
  QPointF pressed_at_;
  TimeWindow pressed_window_;
  int gesture_ = 0, wheel_kind_ = 0;
  QElapsedTimer last_wheel_;
};

/// A number of its own for each gesture; never 0.
int next_memory_gesture();

}  // namespace shardscope::gui
