#include "gui/models/area_tables.h"

#include <gtest/gtest.h>

#include <QStringList>

namespace shardscope::gui {
namespace {

std::vector<AreaRow> two_ranks() {
  AreaRow a{0, {}}, b{1, {}};
  a.busy_ns[static_cast<std::size_t>(WorkClass::kForward)] = 300'000;
  b.busy_ns[static_cast<std::size_t>(WorkClass::kForward)] = 500'000;
  b.busy_ns[static_cast<std::size_t>(WorkClass::kWait)] = 100'000;
  return {a, b};
}

const TableCell& cell(const TableData& table, std::size_t row, const char* column) {
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    if (table.columns[c] == column) return table.rows[row][c];
  }
  ADD_FAILURE() << column;
  return table.rows[row][0];
}

TEST(AreaTables, CategoriesAreAddedUpOverRanks) {
  const TableData table = category_table(two_ranks(), {0, 1'000'000});
  ASSERT_EQ(table.rows.size(), 2U) << "classes that nobody spends time on are left out";
  EXPECT_EQ(cell(table, 0, "class of work").text, "forward");
  EXPECT_EQ(cell(table, 0, "sum").text, "800 us");
  EXPECT_EQ(cell(table, 0, "mean").text, "400 us");
  EXPECT_EQ(cell(table, 0, "max").text, "500 us");
  EXPECT_EQ(cell(table, 0, "share").text, "40.0 %");
  EXPECT_EQ(cell(table, 1, "p50").text, "50 us");
}

TEST(AreaTables, EachRankHasItsRow) {
  const TableData table = rank_table(two_ranks(), {0, 1'000'000});
  EXPECT_EQ(table.columns.size(), 4U);
  EXPECT_EQ(cell(table, 1, "waiting for ranks").text, "100 us");
  EXPECT_EQ(cell(table, 1, "compute share").text, "50.0 %");
}

TEST(AreaTables, CollectivesHaveTheirRateWithoutWaiting) {
  AreaOp gather{"all_gather", "h.0",   "forward", "dp",   WorkClass::kCommunication, true, 2, 300'000, 100'000, 200'000,
                200'000,      250'000, 250'000,   150'000};
  AreaOp matmul{"matmul", "h.0", "forward", "", WorkClass::kForward, false, 4, 700'000, 0, 175'000, 1, 1, 1, 10};
  const TableData table = collective_table({matmul, gather});
  ASSERT_EQ(table.rows.size(), 1U);
  EXPECT_EQ(cell(table, 0, "waiting").text, "25.0 %");
  EXPECT_EQ(cell(table, 0, "rate").text, "1 GB/s") << "150 kB in 150 us";
  EXPECT_EQ(cell(op_table({matmul, gather}), 0, "share").text, "70.0 %");
}

TEST(AreaTables, AnOpTellsWhatItReached) {
  OpReport r;
  r.details.kind = "matmul";
  r.details.name = "h.0.mlp";
  r.details.lane = "compute";
  r.details.flops = 1e9;
  r.details.bytes = 1'000'000;
  r.details.peak_flops = 4e12;
  r.details.times = {10, 1'000'000, 900'000, 1'100'000, 0};
  r.span = {0, 1'000'000, 0, 3, 7};
  r.other = OpTimes{3, 800'000, 800'000, 800'000, 0};
  const TableData table = details_table(r);
  QStringList all;
  for (const auto& row : table.rows) all << QString::fromStdString(row[0].text + "|" + row[1].text + "|" + row[2].text);
  EXPECT_TRUE(all.contains("reached|1 TFLOP/s|25.0 % of the rank's peak, 4 TFLOP/s")) << all.join("\n").toStdString();
  EXPECT_TRUE(all.contains("predicted, mean|800 us|-20.0 % beside this run")) << all.join("\n").toStdString();
  EXPECT_TRUE(all.contains("reached|1 GB/s|1000 FLOP per byte")) << all.join("\n").toStdString();
  EXPECT_TRUE(all.join("\n").contains("roofline|not known")) << "no job says how fast the memory is";
  OpFacts facts;
  facts.operands = {{"a", "x", "f32 [256, 960]", 983'040, false}};
  facts.parts = {{"arithmetic", 8e-4, "s", "matmul, 2 threads, of this machine"}};
  facts.constants = {{"memory_bandwidth", 2e9, "B/s", "Guess: from the number of cores"}};
  facts.bandwidth = 2e9;
  facts.bandwidth_source = "Guess";
  r.facts = facts;
  all.clear();
  for (const auto& row : details_table(r).rows)
    all << QString::fromStdString(row[0].text + "|" + row[1].text + "|" + row[2].text);
  const std::string text = all.join("\n").toStdString();
  EXPECT_TRUE(all.contains(
      "roofline|2 TFLOP/s|50.0 % of it reached; memory is the bound: 1000 FLOP per byte, 2 GB/s and 4 TFLOP/s"))
      << text;
  EXPECT_TRUE(all.contains("reads a|f32 [256, 960]|x, 960 KiB")) << text;
  EXPECT_TRUE(all.contains("cost alone: arithmetic|800 us|matmul, 2 threads, of this machine")) << text;
  EXPECT_TRUE(all.contains("constant memory_bandwidth|2e+09 B/s|Guess: from the number of cores")) << text;
  EXPECT_TRUE(hover_text(r).contains("predicted 800 us, +200 us beside it")) << hover_text(r).toStdString();
}

}  // namespace
}  // namespace shardscope::gui
