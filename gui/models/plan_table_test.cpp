#include "gui/models/plan_table.h"

#include <gtest/gtest.h>

#include <QAbstractItemModelTester>

#include "gui/models/plan_fixture_for_test.h"

namespace shardscope::gui {
namespace {

std::shared_ptr<const PlanResult> made() { return std::make_shared<PlanResult>(testing::made_result()); }

QString text(const PlanTable& table, int row, int column) { return table.index(row, column).data().toString(); }

TEST(PlanTable, IsAProperModel) {
  PlanTable table;
  const QAbstractItemModelTester tester(&table, QAbstractItemModelTester::FailureReportingMode::Fatal);
  EXPECT_EQ(table.rowCount(), 0);
  table.set_result(made(), {});
  EXPECT_EQ(table.rowCount(), 8);
  const QPersistentModelIndex kept(table.index(2, PlanTable::kDays));
  const QString days = kept.data().toString();
  for (int column = 0; column < PlanTable::kColumns; ++column) {
    table.sort(column, Qt::DescendingOrder);
    EXPECT_EQ(kept.data().toString(), days);
    EXPECT_FALSE(table.headerData(column, Qt::Horizontal, Qt::ToolTipRole).toString().isEmpty());
  }
  table.set_result(std::make_shared<PlanResult>(), {});
  EXPECT_EQ(table.rowCount(), 0);
}

TEST(PlanTable, SaysWhatAPlanTakes) {
  PlanTable table;
  table.set_result(made(), {});
  EXPECT_EQ(text(table, 1, PlanTable::kWhat), "recommended, front");
  EXPECT_EQ(text(table, 1, PlanTable::kGpus), "128 x h100-sxm");
  EXPECT_EQ(text(table, 1, PlanTable::kDays), "40");
  EXPECT_EQ(text(table, 1, PlanTable::kInterval), "34.4 to 49.6");
  EXPECT_EQ(text(table, 1, PlanTable::kCost), "$375.0 k");
  EXPECT_EQ(text(table, 1, PlanTable::kFree), "12.0");
  EXPECT_EQ(text(table, 6, PlanTable::kWhat), "does not fit");
  EXPECT_EQ(text(table, 6, PlanTable::kFree), "-12.0");
  EXPECT_EQ(text(table, 1, PlanTable::kBound), "compute 70 %");
}

TEST(PlanTable, SortsByNumbersNotByTheirTexts) {
  PlanTable table;
  table.set_result(made(), {});
  table.sort(PlanTable::kDays, Qt::AscendingOrder);
  EXPECT_EQ(text(table, 0, PlanTable::kDays), "21");
  EXPECT_EQ(text(table, 7, PlanTable::kDays), "160") << "not before 21";
  table.sort(PlanTable::kFree, Qt::DescendingOrder);
  EXPECT_EQ(text(table, 0, PlanTable::kFree), "40.0");
}

TEST(PlanTable, PinnedRowsStayOnTop) {
  const auto result = made();
  PlanState state;
  state.pinned = {key_of(result->request, result->dots[5].point)};
  state.sort_column = PlanTable::kCost;
  PlanTable table;
  table.set_result(result, state);
  EXPECT_EQ(table.dot_of_row(0), 5U);
  EXPECT_EQ(text(table, 0, PlanTable::kWhat), "pinned, beaten");
  EXPECT_EQ(text(table, 1, PlanTable::kCost), "$355.0 k");
  table.sort(PlanTable::kDays, Qt::AscendingOrder);
  EXPECT_EQ(table.dot_of_row(0), 5U);
  EXPECT_EQ(table.row_of_dot(5), 0);
}

}  // namespace
}  // namespace shardscope::gui
