#pragma once
// A TableData as an item model, sortable by each column; and any item model as text to paste elsewhere.
//
//   TableModel model;
//   model.set_table(waterfall_table(waterfall));
//   QString text = to_text(model, TextFormat::kMarkdown);

#include <QAbstractTableModel>
#include <QString>
#include <memory>
#include <vector>

#include "gui/models/table_data.h"

namespace shardscope::gui {

/// Numbers are sorted by value and before texts, and stand at the right.
class TableModel : public QAbstractTableModel {
  Q_OBJECT

 public:
  using QAbstractTableModel::QAbstractTableModel;
  void set_table(TableData table);                           ///< sorted as the one before it, if it has as many columns
  void share_table(std::shared_ptr<const TableData> table);  ///< likewise: a large one, made by another thread
  const TableData& table() const { return *table_; }
  int original_row(int row) const { return order_[static_cast<std::size_t>(row)]; }  ///< in what was set

  int rowCount(const QModelIndex& parent = {}) const override;
  int columnCount(const QModelIndex& parent = {}) const override;
  /// UserRole and the tooltip: the exact text.
  QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
  QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;
  void sort(int column, Qt::SortOrder order = Qt::AscendingOrder) override;

 private:
  void put_in_order();
  const TableCell& cell(int row, int column) const;
  std::shared_ptr<const TableData> table_ = std::make_shared<const TableData>();  ///< shared with who made it
  std::vector<int> order_;
  std::vector<bool> numbers_;  ///< by column: some cell is a number
  int sorted_by_ = -1;
  Qt::SortOrder direction_ = Qt::AscendingOrder;
};

enum class TextFormat { kTsv, kCsv, kMarkdown };

/// Header and all rows; cells as UserRole says, where the model has it, else as displayed. CSV as RFC 4180 has it.
QString to_text(const QAbstractItemModel& model, TextFormat format);

}  // namespace shardscope::gui
