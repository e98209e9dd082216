#include "gui/models/plain_table.h"

#include <algorithm>

namespace shardscope::gui {
namespace {

bool before(const TableCell& x, const TableCell& y) {
  if (x.is_number() != y.is_number()) return x.is_number();
  return x.is_number() ? x.number < y.number : x.text < y.text;
}

}  // namespace

void PlainTable::set_table(TableData table) {
  beginResetModel();
  if (table.columns != table_.columns) column_ = -1;
  table_ = std::move(table);
  sort_rows();
  endResetModel();
}

int PlainTable::rowCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(table_.rows.size());
}

int PlainTable::columnCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(table_.columns.size());
}

QVariant PlainTable::data(const QModelIndex& index, int role) const {
  if (!index.isValid()) return {};
  const TableCell& cell = table_.rows[static_cast<std::size_t>(index.row())][static_cast<std::size_t>(index.column())];
  if (role == Qt::DisplayRole || role == Qt::ToolTipRole) return QString::fromStdString(cell.text);
  if (role == Qt::UserRole && cell.is_number()) return cell.number;
  if (role == Qt::TextAlignmentRole)
    return QVariant::fromValue(Qt::Alignment((cell.is_number() ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter));
  return {};
}

QVariant PlainTable::headerData(int section, Qt::Orientation orientation, int role) const {
  if (orientation != Qt::Horizontal || role != Qt::DisplayRole || section < 0 || section >= columnCount()) return {};
  return QString::fromStdString(table_.columns[static_cast<std::size_t>(section)]);
}

void PlainTable::sort(int column, Qt::SortOrder order) {
  if (column >= columnCount()) return;
  Q_EMIT layoutAboutToBeChanged();
  column_ = column;
  order_ = order;
  sort_rows();
  Q_EMIT layoutChanged();
}

void PlainTable::sort_rows() {
  if (column_ < 0) return;
  const auto c = static_cast<std::size_t>(column_);
  std::stable_sort(table_.rows.begin(), table_.rows.end(), [&](const auto& x, const auto& y) {
    return order_ == Qt::AscendingOrder ? before(x[c], y[c]) : before(y[c], x[c]);
  });
}

}  // namespace shardscope::gui
