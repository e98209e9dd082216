#pragma once
// What all views follow: stretch of time, ranks, step and op, of the session's run A. Signals only when it changes, so
// a view may set what it was just told.
//
//   connect(&context.selection, &SharedSelection::window_changed, this, [this](TimeWindow window) { look_at(window);
//   });

#include <QObject>
#include <optional>
#include <vector>

#include "gui/models/timeline_state.h"

namespace shardscope::gui {

class SharedSelection : public QObject {
  Q_OBJECT

 public:
  using QObject::QObject;
  TimeWindow window() const { return window_; }                       ///< empty: the whole run
  const std::vector<int>& ranks() const { return ranks_; }            ///< ascending; empty: all
  std::optional<int> step() const { return step_; }                   ///< nothing: none in particular
  const std::optional<TimelineSelection>& op() const { return op_; }  ///< one execution of an op

  void set_window(TimeWindow window);
  void set_ranks(std::vector<int> ranks);
  void set_step(std::optional<int> step);
  void set_op(std::optional<TimelineSelection> op);
  void clear();  ///< another run: nothing of the old one holds

 Q_SIGNALS:
  void window_changed(shardscope::TimeWindow window);
  void ranks_changed(const std::vector<int>& ranks);
  void step_changed(std::optional<int> step);
  void op_changed(const std::optional<shardscope::gui::TimelineSelection>& op);

 private:
  TimeWindow window_;
  std::vector<int> ranks_;
  std::optional<int> step_;
  std::optional<TimelineSelection> op_;
};

}  // namespace shardscope::gui
