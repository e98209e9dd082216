#pragma once
// The Plan view's picture as a widget: marks that can be pointed at, clicked and walked through with the arrow keys.
//
//   auto* canvas = new PlanCanvas;
//   canvas->show_plan(result, relief, state);
//   connect(canvas, &PlanCanvas::chosen, ...);   // a dot

#include <QWidget>
#include <memory>
#include <optional>

#include "gui/models/plan_picture.h"

namespace shardscope::gui {

class PlanCanvas : public QWidget {
  Q_OBJECT

 public:
  explicit PlanCanvas(QWidget* parent = nullptr);
  void show_plan(std::shared_ptr<const PlanResult> result, const Relief& relief, const PlanState& state);
  Picture picture(double width, double height) const;
  const PlanLayout& layout_now() const { return layout_; }
  QSize minimumSizeHint() const override { return {520, 360}; }

 Q_SIGNALS:
  void chosen(std::size_t dot);
  void activated();  ///< the chosen one is to be opened

 protected:
  bool event(QEvent* event) override;
  void paintEvent(QPaintEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseDoubleClickEvent(QMouseEvent* event) override;
  void leaveEvent(QEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;

 private:
  void lay_out();
  void set_hovered(std::optional<std::size_t> dot);
  /// The next dot from the chosen one in that direction on the screen.
  std::optional<std::size_t> neighbour(int dx, int dy) const;
  QString tip(std::size_t dot) const;

  std::shared_ptr<const PlanResult> result_ = std::make_shared<PlanResult>();
  Relief relief_;
  PlanState state_;
  TextWidth measure_;
  PlanLayout layout_;
  std::optional<std::size_t> hovered_;
};

}  // namespace shardscope::gui
