#include "gui/views/table_look.h"

#include <QHeaderView>
#include <QPainter>
#include <utility>

namespace shardscope::gui {

TableView::TableView(QString empty_text, QWidget* parent) : QTableView(parent), empty_text_(std::move(empty_text)) {}

void TableView::set_empty_text(const QString& text) {
  empty_text_ = text;
  viewport()->update();
}

void TableView::paintEvent(QPaintEvent* event) {
  QTableView::paintEvent(event);
  if (model() == nullptr || model()->rowCount(rootIndex()) > 0) return;
  QPainter painter(viewport());
  painter.setPen(palette().color(QPalette::Text));
  painter.drawText(viewport()->rect().adjusted(12, 6, -12, -6), Qt::AlignCenter | Qt::TextWordWrap, empty_text_);
}

void set_table_look(QTableView& table, const QString& name, int margin) {
  constexpr int kRowsMeasured = 40;  // of a column's width; a thousand, as Qt has it, stop the window for 50 ms
  table.horizontalHeader()->setResizeContentsPrecision(kRowsMeasured);
  table.setAccessibleName(name);
  table.setSelectionBehavior(QAbstractItemView::SelectRows);
  table.setAlternatingRowColors(true);
  table.setShowGrid(false);
  table.setTabKeyNavigation(false);
  table.verticalHeader()->hide();
  table.verticalHeader()->setDefaultSectionSize(table.fontMetrics().height() + margin);
}

}  // namespace shardscope::gui
