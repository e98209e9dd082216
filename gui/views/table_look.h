#pragma once
// How every table of the window looks: whole rows are selected, no grid, Tab goes on to the next part of the window.
//
//   set_table_look(*table, QStringLiteral("Plans"));

#include <QString>

class QTableView;

namespace shardscope::gui {

/// `name` is what screen readers say; `margin` the pixels of a row beyond its text.
void set_table_look(QTableView& table, const QString& name, int margin = 6);

}  // namespace shardscope::gui
