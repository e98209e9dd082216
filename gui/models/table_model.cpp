#include "gui/models/table_model.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include "gui/models/plain_text.h"

namespace shardscope::gui {

namespace {

bool before(const TableCell& x, const TableCell& y) {
  if (x.is_number() != y.is_number()) return x.is_number();
  return x.is_number() ? x.number < y.number : x.text < y.text;
}

std::vector<bool> columns_of_numbers(const TableData& table) {
  std::vector<bool> numbers(table.columns.size(), false);
  for (const auto& row : table.rows) {
    for (std::size_t c = 0; c < row.size(); ++c) numbers[c] = numbers[c] || row[c].is_number();
  }
  return numbers;
}

QVariant side(bool right) { return {Qt::AlignVCenter | (right ? Qt::AlignRight : Qt::AlignLeft)}; }

}  // namespace

void TableModel::set_table(TableData table) { share_table(std::make_shared<const TableData>(std::move(table))); }

void TableModel::share_table(std::shared_ptr<const TableData> table) {
  if (table->columns.size() != table_->columns.size()) sorted_by_ = -1;
  beginResetModel();
  table_ = std::move(table);
  numbers_ = columns_of_numbers(*table_);
  put_in_order();
  endResetModel();
}

int TableModel::rowCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(table_->rows.size());
}

int TableModel::columnCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(table_->columns.size());
}

const TableCell& TableModel::cell(int row, int column) const {
  return table_
      ->rows[static_cast<std::size_t>(order_[static_cast<std::size_t>(row)])][static_cast<std::size_t>(column)];
}

QVariant TableModel::data(const QModelIndex& index, int role) const {
  if (!index.isValid()) return {};
  const TableCell& shown = cell(index.row(), index.column());
  switch (role) {
    case Qt::DisplayRole:
      return one_line(QString::fromStdString(shown.text));
    case Qt::UserRole:
      return QString::fromStdString(shown.exact.empty() ? shown.text : shown.exact);
    case Qt::ToolTipRole:
      return plain_tip(QString::fromStdString(shown.exact.empty() ? shown.text : shown.exact));
    case Qt::TextAlignmentRole:
      return side(numbers_[static_cast<std::size_t>(index.column())]);
    default:
      return {};
  }
}

QVariant TableModel::headerData(int section, Qt::Orientation orientation, int role) const {
  if (orientation != Qt::Horizontal || section < 0 || section >= columnCount()) return {};
  if (role == Qt::DisplayRole) return QString::fromStdString(table_->columns[static_cast<std::size_t>(section)]);
  if (role == Qt::TextAlignmentRole) return side(numbers_[static_cast<std::size_t>(section)]);
  return {};
}

void TableModel::sort(int column, Qt::SortOrder order) {
  sorted_by_ = column;
  direction_ = order;
  Q_EMIT layoutAboutToBeChanged();
  const std::vector<int> old = order_;
  put_in_order();
  QModelIndexList from = persistentIndexList(), to;
  for (const QModelIndex& index : from) {
    const int original = old[static_cast<std::size_t>(index.row())];
    const auto now = std::find(order_.begin(), order_.end(), original) - order_.begin();
    to << createIndex(static_cast<int>(now), index.column());
  }
  changePersistentIndexList(from, to);
  Q_EMIT layoutChanged();
}

void TableModel::put_in_order() {
  order_.resize(table_->rows.size());
  std::iota(order_.begin(), order_.end(), 0);
  if (sorted_by_ < 0 || sorted_by_ >= columnCount()) return;
  const auto column = static_cast<std::size_t>(sorted_by_);
  const auto at = [&](int row) -> const TableCell& { return table_->rows[static_cast<std::size_t>(row)][column]; };
  std::stable_sort(order_.begin(), order_.end(), [&](int a, int b) {
    return direction_ == Qt::AscendingOrder ? before(at(a), at(b)) : before(at(b), at(a));
  });
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
