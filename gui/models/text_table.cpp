#include "gui/models/text_table.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace shardscope::gui {

void TextTableModel::set_table(TextTable table) {
  const bool same_columns = table.columns.size() == table_.columns.size();
  if (!same_columns) sorted_by_ = -1;
  beginResetModel();
  table_ = std::move(table);
  put_in_order();
  endResetModel();
}

int TextTableModel::rowCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(table_.rows.size());
}

int TextTableModel::columnCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(table_.columns.size());
}

QVariant TextTableModel::data(const QModelIndex& index, int role) const {
  if (!index.isValid()) return {};
  const auto column = static_cast<std::size_t>(index.column());
  const auto row = static_cast<std::size_t>(order_[static_cast<std::size_t>(index.row())]);
  const TextCell& cell = table_.rows[row][column];
  switch (role) {
    case Qt::DisplayRole:
      return cell.text;
    case Qt::ToolTipRole:
    case Qt::UserRole:
      return cell.exact.isEmpty() ? cell.text : cell.exact;
    case Qt::TextAlignmentRole:
      return QVariant(Qt::AlignVCenter | (table_.columns[column].number ? Qt::AlignRight : Qt::AlignLeft));
    default:
      return {};
  }
}

QVariant TextTableModel::headerData(int section, Qt::Orientation orientation, int role) const {
  if (orientation != Qt::Horizontal || section < 0 || section >= columnCount()) return {};
  const TextColumn& column = table_.columns[static_cast<std::size_t>(section)];
  if (role == Qt::DisplayRole) return column.name;
  if (role == Qt::TextAlignmentRole)
    return QVariant(Qt::AlignVCenter | (column.number ? Qt::AlignRight : Qt::AlignLeft));
  return {};
}

void TextTableModel::sort(int column, Qt::SortOrder order) {
  sorted_by_ = column;
  direction_ = order;
  Q_EMIT layoutAboutToBeChanged();
  const std::vector<int> before = order_;
  put_in_order();
  QModelIndexList from = persistentIndexList(), to;
  for (const QModelIndex& index : from) {
    const int original = before[static_cast<std::size_t>(index.row())];
    const auto now = std::find(order_.begin(), order_.end(), original) - order_.begin();
    to << createIndex(static_cast<int>(now), index.column());
  }
  changePersistentIndexList(from, to);
  Q_EMIT layoutChanged();
}

void TextTableModel::put_in_order() {
  order_.resize(table_.rows.size());
  std::iota(order_.begin(), order_.end(), 0);
  if (sorted_by_ < 0 || sorted_by_ >= columnCount()) return;
  const auto column = static_cast<std::size_t>(sorted_by_);
  const bool number = table_.columns[column].number;
  const auto before = [&](int a, int b) {
    const TextCell& left = table_.rows[static_cast<std::size_t>(a)][column];
    const TextCell& right = table_.rows[static_cast<std::size_t>(b)][column];
    return number ? left.number < right.number : left.text < right.text;
  };
  std::stable_sort(order_.begin(), order_.end(),
                   [&](int a, int b) { return direction_ == Qt::AscendingOrder ? before(a, b) : before(b, a); });
}

namespace {

QString cell_text(QString text, TextFormat format) {
  switch (format) {
    case TextFormat::kTsv:
      return text.replace(QLatin1Char('\t'), QLatin1Char(' ')).replace(QLatin1Char('\n'), QLatin1Char(' '));
    case TextFormat::kCsv:
      if (!text.contains(QLatin1Char(',')) && !text.contains(QLatin1Char('"')) && !text.contains(QLatin1Char('\n')))
        return text;
      return QLatin1Char('"') + text.replace(QLatin1Char('"'), QLatin1String("\"\"")) + QLatin1Char('"');
    case TextFormat::kMarkdown:
      return text.replace(QLatin1Char('|'), QLatin1String("\\|")).replace(QLatin1Char('\n'), QLatin1Char(' '));
  }
  return text;
}

QString line(const QStringList& cells, TextFormat format) {
  switch (format) {
    case TextFormat::kTsv:
      return cells.join(QLatin1Char('\t')) + QLatin1Char('\n');
    case TextFormat::kCsv:
      return cells.join(QLatin1Char(',')) + QLatin1String("\r\n");
    case TextFormat::kMarkdown:
      return QLatin1String("| ") + cells.join(QLatin1String(" | ")) + QLatin1String(" |\n");
  }
  return {};
}

}  // namespace

QString to_text(const QAbstractItemModel& model, TextFormat format) {
  QStringList header, rule;
  for (int column = 0; column < model.columnCount(); ++column) {
    header << cell_text(model.headerData(column, Qt::Horizontal).toString(), format);
    const int aligned = model.headerData(column, Qt::Horizontal, Qt::TextAlignmentRole).toInt();
    rule << ((aligned & Qt::AlignRight) != 0 ? QStringLiteral("---:") : QStringLiteral("---"));
  }
  QString text = line(header, format);
  if (format == TextFormat::kMarkdown) text += line(rule, format);
  for (int row = 0; row < model.rowCount(); ++row) {
    QStringList cells;
    for (int column = 0; column < model.columnCount(); ++column) {
      const QModelIndex index = model.index(row, column);
      const QVariant exact = model.data(index, Qt::UserRole);
      const QString shown = model.data(index, Qt::DisplayRole).toString();
      cells << cell_text(exact.isValid() && format != TextFormat::kMarkdown ? exact.toString() : shown, format);
    }
    text += line(cells, format);
  }
  return text;
}

}  // namespace shardscope::gui
