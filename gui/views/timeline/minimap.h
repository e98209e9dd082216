#pragma once
// The whole run in a strip: how busy the ranks are, where the view is, and where a search has hits. Drag the view's
// frame, or press anywhere to go there.
//
//   minimap->set_run(extent, stacks);  minimap->set_window(window);
//   connect(minimap, &Minimap::asked, view, [](TimeWindow window, int gesture) { ... });

#include <QWidget>
#include <vector>

#include "gui/models/picture.h"
#include "profiler/query/timeline.h"

namespace shardscope::gui {

class Minimap : public QWidget {
  Q_OBJECT

 public:
  explicit Minimap(QWidget* parent = nullptr);
  void set_run(TimeWindow extent, std::vector<Stack> activity);
  void set_window(TimeWindow window);
  void set_hits(std::vector<std::int64_t> columns);
  void set_dark(bool dark);
  QSize sizeHint() const override { return {400, 34}; }

 Q_SIGNALS:
  void asked(shardscope::TimeWindow window, int gesture);

 protected:
  void paintEvent(QPaintEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;

 private:
  void go_to(double x);
  Picture picture() const;
  TimeWindow extent_, window_;
  std::vector<Stack> activity_;
  std::vector<std::int64_t> hits_;
  double hold_ = 0;  ///< where in the frame it is held, pixels from its left edge
  int gesture_ = 0;
  bool dark_ = false;
};

}  // namespace shardscope::gui
