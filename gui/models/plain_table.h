#pragma once
// A TableData as an item model, sortable by each column: numbers by value, else by text.
//
//   PlainTable table;
//   table.set_table(waterfall_table(waterfall));

#include <QAbstractTableModel>

#include "gui/models/table_data.h"

namespace shardscope::gui {

class PlainTable : public QAbstractTableModel {
  Q_OBJECT

 public:
  using QAbstractTableModel::QAbstractTableModel;
  void set_table(TableData table);  ///< sorted as the one before, if it has the same columns
  const TableData& table() const { return table_; }

  int rowCount(const QModelIndex& parent = {}) const override;
  int columnCount(const QModelIndex& parent = {}) const override;
  QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
  QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;
  void sort(int column, Qt::SortOrder order = Qt::AscendingOrder) override;
  int sort_column() const { return column_; }  ///< -1: as given
  Qt::SortOrder sort_order() const { return order_; }

 private:
  void sort_rows();
  TableData table_;
  int column_ = -1;
  Qt::SortOrder order_ = Qt::AscendingOrder;
};

}  // namespace shardscope::gui
