#include "gui/models/runs_model.h"

#include <gtest/gtest.h>

#include <QAbstractItemModelTester>
#include <QSignalSpy>

#include "gui/models/sample_runs.h"

namespace shardscope::gui {
namespace {

QString cell(const RunsModel& model, int row, int column, int role = Qt::DisplayRole) {
  return model.data(model.index(row, column), role).toString();
}

TEST(RunsModel, KeepsTheRulesOfItemModels) {
  RunsModel model;
  const QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::Fatal);
  model.set_runs(sample_runs());
  model.set_runs({});
  model.set_runs(sample_runs());
  EXPECT_EQ(model.rowCount(), 3);
  EXPECT_EQ(model.rowCount(model.index(0, 0)), 0);
}

TEST(RunsModel, ShowsARunWithUnits) {
  RunsModel model;
  model.set_runs(sample_runs());
  EXPECT_EQ(cell(model, 0, RunsModel::kRun), "zero-2");
  EXPECT_EQ(cell(model, 0, RunsModel::kKind), "measured");
  EXPECT_EQ(cell(model, 0, RunsModel::kRanks), "4");
  EXPECT_EQ(cell(model, 0, RunsModel::kStepTime), "250 ms");
  EXPECT_EQ(cell(model, 0, RunsModel::kExposed), "30 ms");
  EXPECT_EQ(cell(model, 0, RunsModel::kPeak), "100 MiB");
  EXPECT_EQ(cell(model, 0, RunsModel::kLoss), "4.2500");
  EXPECT_EQ(cell(model, 1, RunsModel::kKind), "predicted");
  EXPECT_EQ(cell(model, 1, RunsModel::kLoss), "–");
}

TEST(RunsModel, UnknownIsADashAndNotZero) {
  RunsModel model;
  RunSummary empty;
  empty.run.id = 7;
  empty.last_loss = std::numeric_limits<double>::quiet_NaN();
  model.set_runs({empty});
  EXPECT_EQ(cell(model, 0, RunsModel::kRun), "run 7");
  for (int column :
       {RunsModel::kStepTime, RunsModel::kTokens, RunsModel::kExposed, RunsModel::kPeak, RunsModel::kLoss}) {
    EXPECT_EQ(cell(model, 0, column), "–") << column;
  }
}

TEST(RunsModel, TooltipsHaveFullDigitsAndDiagnostics) {
  RunsModel model;
  std::vector<RunSummary> runs = sample_runs();
  runs[0].diagnostics = {"12 slices came too late"};
  model.set_runs(runs);
  EXPECT_TRUE(cell(model, 0, RunsModel::kPeak, Qt::ToolTipRole).contains("104857600 bytes"));
  EXPECT_TRUE(cell(model, 0, RunsModel::kRun, Qt::ToolTipRole).contains("12 slices came too late"));
}

TEST(RunsModel, EveryColumnHasAHeader) {
  const RunsModel model;
  for (int column = 0; column < RunsModel::kColumns; ++column) {
    EXPECT_FALSE(model.headerData(column, Qt::Horizontal).toString().isEmpty()) << column;
  }
  EXPECT_FALSE(model.headerData(RunsModel::kColumns, Qt::Horizontal).isValid());
}

}  // namespace
}  // namespace shardscope::gui
