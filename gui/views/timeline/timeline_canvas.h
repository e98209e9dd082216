#pragma once
// The picture of a timeline, and the pointer on it. Bars and what stands around them are kept as an image and painted
// anew only when they change; cursor, highlights, selection and notes are painted over it.
//
//   canvas->set_catalog(catalog);  canvas->set_state(state);  canvas->set_tile(tile);
//   connect(canvas, &TimelineCanvas::state_asked, view, ...);   // what the pointer wants; nothing changes by itself

#include <QElapsedTimer>
#include <QImage>
#include <QWidget>
#include <memory>
#include <optional>

#include "gui/models/timeline_picture.h"
#include "gui/paint/paint_picture.h"

namespace shardscope::gui {

class TimelineCanvas : public QWidget {
  Q_OBJECT

 public:
  explicit TimelineCanvas(QWidget* parent = nullptr);

  void set_catalog(std::shared_ptr<const TimelineCatalog> catalog, TimelineTitle title);
  void set_state(const TimelineState& state);
  void set_tile(std::shared_ptr<const TimelineTile> tile);
  void set_heat(std::shared_ptr<const HeatMap> heat);
  void set_flow(std::shared_ptr<const std::vector<FlowArrow>> flow);
  void set_hits(std::map<int, std::int64_t> by_rank);
  void set_hover(std::vector<TiedSpan> spans, const QString& text);  ///< of what hovered() asked for
  void set_empty_text(const QString& text);                          ///< shown while there is no catalog
  const QString& empty_text() const { return empty_text_; }

  const TimelineScene& scene() const { return scene_; }
  TimelineTitle title() const { return title_; }
  /// What a tile must hold for the present view.
  TileRequest request() const;
  /// Where the pointer is, or the middle of the rows.
  std::int64_t cursor_ns() const;
  std::optional<int> cursor_rank() const;
  QSize minimumSizeHint() const override { return {480, 240}; }
  int frames() const { return frames_; }  ///< how often the kept image was painted: for tests

 Q_SIGNALS:
  void state_asked(const shardscope::gui::TimelineState& state, int gesture);
  void hovered(const shardscope::gui::TimelineRow& row, std::int64_t at_ns);
  void left();
  void picked(const shardscope::gui::TimelineRow& row, std::int64_t at_ns, bool zoom_to_it);
  void rank_toggled(int rank);
  void rank_checked(int rank);  ///< its box was clicked
  void resized();

 protected:
  void paintEvent(QPaintEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void mouseReleaseEvent(QMouseEvent* event) override;
  void mouseDoubleClickEvent(QMouseEvent* event) override;
  void wheelEvent(QWheelEvent* event) override;
  void leaveEvent(QEvent* event) override;
  bool event(QEvent* event) override;

 private:
  enum class Drag { kNone, kPress, kArea, kPan, kRegion, kLeftEdge, kRightEdge };
  void rebuild_scene();
  void paint_image();
  Picture overlay() const;
  void draw_hover(Picture& picture) const;
  void draw_region(Picture& picture) const;
  void drag_area(QPointF to);
  void drag_pan(QPointF to);
  void drag_edge(QPointF to);
  void end_drag(QPointF at);
  Drag drag_for(const QMouseEvent& event) const;
  std::optional<TimelineRow> row_at(QPointF at) const;  ///< with its level
  std::optional<int> rank_at(QPointF at) const;
  std::int64_t time_at_x(double x) const;
  bool in_rows(QPointF at) const;
  int wheel_gesture(int kind);

  TimelineScene scene_;
  TimelineTitle title_;
  TextWidth measure_;
  ImagePainter painter_;
  QImage image_;
  bool image_is_old_ = true;
  int frames_ = 0;
  QString empty_text_;
  std::vector<TiedSpan> hover_;
  QString hover_text_;
  std::optional<QPointF> pointer_;
  Drag drag_ = Drag::kNone;
  QPointF pressed_at_;
  TimelineState pressed_state_;
  int gesture_ = 0, wheel_kind_ = 0;
  QElapsedTimer last_wheel_;
};

}  // namespace shardscope::gui
