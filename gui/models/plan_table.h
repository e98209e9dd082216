#pragma once
// The Plan view's configurations as a table: what a chart's reader needs in numbers. Pinned rows come first, then what
// is sorted. No Widgets.
//
//   PlanTable table;
//   table.set_result(result, state);
//   table.sort(PlanTable::kCost);  table.dot_of_row(0)

#include <QAbstractTableModel>
#include <memory>
#include <vector>

#include "gui/models/plan_result.h"

namespace shardscope::gui {

class PlanTable : public QAbstractTableModel {
  Q_OBJECT

 public:
  enum Column {
    kWhat,
    kGpus,
    kFramework,
    kLayout,
    kZero,
    kMicro,
    kRecompute,
    kStep,
    kDays,
    kInterval,
    kCost,
    kPower,
    kFree,
    kBound,
    kColumns
  };
  using QAbstractTableModel::QAbstractTableModel;

  void set_result(std::shared_ptr<const PlanResult> result, const PlanState& state);
  std::size_t dot_of_row(int row) const { return rows_[static_cast<std::size_t>(row)]; }
  int row_of_dot(std::size_t dot) const;  ///< -1: none

  int rowCount(const QModelIndex& parent = {}) const override;
  int columnCount(const QModelIndex& parent = {}) const override;
  QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
  QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;
  void sort(int column, Qt::SortOrder order = Qt::AscendingOrder) override;

 private:
  void order_rows();
  QString text_of(std::size_t dot, int column) const;
  QString what(std::size_t dot) const;

  std::shared_ptr<const PlanResult> result_;
  std::vector<std::size_t> rows_;  ///< dots
  std::vector<bool> pinned_;       ///< by dot
  int column_ = kWhat;
  Qt::SortOrder order_ = Qt::AscendingOrder;
};

}  // namespace shardscope::gui
