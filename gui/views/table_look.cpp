#include "gui/views/table_look.h"

#include <QHeaderView>
#include <QTableView>

namespace shardscope::gui {

void set_table_look(QTableView& table, const QString& name, int margin) {
  table.setAccessibleName(name);
  table.setSelectionBehavior(QAbstractItemView::SelectRows);
  table.setAlternatingRowColors(true);
  table.setShowGrid(false);
  table.setTabKeyNavigation(false);
  table.verticalHeader()->hide();
  table.verticalHeader()->setDefaultSectionSize(table.fontMetrics().height() + margin);
}

}  // namespace shardscope::gui
