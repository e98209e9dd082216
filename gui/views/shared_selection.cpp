#include "gui/views/shared_selection.h"

#include <algorithm>
#include <utility>

namespace shardscope::gui {

void SharedSelection::set_window(TimeWindow window) {
  if (std::exchange(window_, window) != window) Q_EMIT window_changed(window);
}

void SharedSelection::set_ranks(std::vector<int> ranks) {
  std::sort(ranks.begin(), ranks.end());
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
  if (ranks == ranks_) return;
  ranks_ = std::move(ranks);
  Q_EMIT ranks_changed(ranks_);
}

void SharedSelection::set_step(std::optional<int> step) {
  if (std::exchange(step_, step) != step) Q_EMIT step_changed(step);
}

void SharedSelection::set_op(std::optional<TimelineSelection> op) {
  if (op == op_) return;
  op_ = std::move(op);
  Q_EMIT op_changed(op_);
}

void SharedSelection::clear() {
  set_op({});
  set_step({});
  set_ranks({});
  set_window({});
}

}  // namespace shardscope::gui
