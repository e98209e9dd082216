#include "gui/views/view.h"

#include <utility>

namespace shardscope::gui {

QAction* View::add_command(QWidget* place, const QString& text, const QList<QKeySequence>& keys,
                           std::function<void()> run) {
  auto* action = new QAction(text, this);
  action->setShortcuts(keys);
  action->setShortcutContext(Qt::WidgetWithChildrenShortcut);
  connect(action, &QAction::triggered, this, std::move(run));
  place->addAction(action);
  commands_ << action;
  return action;
}

}  // namespace shardscope::gui
