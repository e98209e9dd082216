#include "gui/models/table_model.h"

#include <gtest/gtest.h>

#include <QAbstractItemModelTester>

namespace shardscope::gui {
namespace {

TableData sample() {
  return {{"op", "time"},
          {{{"b, \"x\""}, {"10 ms", 10, "10000000"}},
           {{"a|y"}, {"9 ms", 9, "9000000"}},
           {{"c"}, {"11 ms", 11, "11000000"}}}};
}

QString shown(const TableModel& model, int row, int column) { return model.data(model.index(row, column)).toString(); }

TEST(TableModel, IsAModelAndSortsNumbersAsNumbers) {
  TableModel model;
  QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::Fatal);
  model.set_table(sample());
  const QPersistentModelIndex ten = model.index(0, 1);
  model.sort(1);
  EXPECT_EQ(shown(model, 0, 1), "9 ms");
  EXPECT_EQ(shown(model, 2, 1), "11 ms");
  EXPECT_EQ(ten.data().toString(), "10 ms") << "a persistent index stays with its row";
  EXPECT_EQ(model.original_row(0), 1);
  model.set_table(sample());
  EXPECT_EQ(shown(model, 0, 1), "9 ms") << "still sorted";
  model.sort(0, Qt::DescendingOrder);
  EXPECT_EQ(shown(model, 0, 0), "c");
}

TEST(TableModel, IsCopiedInThreeForms) {
  TableModel model;
  model.set_table(sample());
  EXPECT_EQ(to_text(model, TextFormat::kTsv), "op\ttime\nb, \"x\"\t10000000\na|y\t9000000\nc\t11000000\n");
  EXPECT_EQ(to_text(model, TextFormat::kCsv), "op,time\r\n\"b, \"\"x\"\"\",10000000\r\na|y,9000000\r\nc,11000000\r\n");
  EXPECT_EQ(to_text(model, TextFormat::kMarkdown),
            "| op | time |\n| --- | ---: |\n| b, \"x\" | 10 ms |\n| a\\|y | 9 ms |\n| c | 11 ms |\n");
}

TEST(TableModel, TextsStandBehindNumbersAndTheSortIsKept) {
  TableModel model;
  QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::Fatal);
  model.set_table({{"name", "time"}, {{{"b"}, {"9 ms", 9}}, {{"a"}, {"10 ms", 10}}, {{"c"}, {"-"}}}});
  model.sort(1, Qt::DescendingOrder);
  EXPECT_EQ(shown(model, 1, 0), "a");
  model.sort(1);
  EXPECT_EQ(shown(model, 0, 0), "b");
  EXPECT_EQ(shown(model, 2, 0), "c");
  EXPECT_EQ(model.headerData(1, Qt::Horizontal).toString(), "time");
  EXPECT_NE(model.headerData(1, Qt::Horizontal, Qt::TextAlignmentRole).toInt() & Qt::AlignRight, 0);
  EXPECT_EQ(model.headerData(0, Qt::Horizontal, Qt::TextAlignmentRole).toInt() & Qt::AlignRight, 0);
  model.set_table({{"name", "time"}, {{{"z"}, {"2", 2}}, {{"y"}, {"1", 1}}}});
  EXPECT_EQ(shown(model, 0, 0), "y");
}

}  // namespace
}  // namespace shardscope::gui
