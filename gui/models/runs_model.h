#pragma once
// The table of runs. No Widgets.
//
//   RunsModel model;
//   model.set_runs(load_summaries({"run.db"}));

#include <QAbstractTableModel>
#include <vector>

#include "gui/models/run_summary.h"

namespace shardscope::gui {

class RunsModel : public QAbstractTableModel {
  Q_OBJECT

 public:
  enum Column { kRun, kKind, kModel, kStage, kRanks, kSteps, kStepTime, kTokens, kExposed, kPeak, kLoss, kColumns };

  using QAbstractTableModel::QAbstractTableModel;

  void set_runs(std::vector<RunSummary> runs);
  const std::vector<RunSummary>& runs() const { return runs_; }

  int rowCount(const QModelIndex& parent = {}) const override;
  int columnCount(const QModelIndex& parent = {}) const override;
  /// Display: text with units. ToolTip: the same in full digits, and what went wrong while recording.
  QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
  QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;

 private:
  std::vector<RunSummary> runs_;
};

}  // namespace shardscope::gui
