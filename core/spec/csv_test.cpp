#include "core/spec/csv.h"

#include <gmock/gmock.h>

namespace shardscope {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Csv, ReadsQuotesAndLinesInsideThem) {
  const CsvTable table = parse_csv("a, b ,c\r\n1,\"x, \"\"y\"\"\n z\",\n\n2,,3\r\n");
  EXPECT_THAT(table.columns, ElementsAre("a", "b", "c"));
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_THAT(table.rows[0].cells, ElementsAre("1", "x, \"y\"\n z", ""));
  EXPECT_EQ(table.rows[0].line, 2);
  EXPECT_THAT(table.rows[1].cells, ElementsAre("2", "", "3"));
  EXPECT_EQ(table.rows[1].line, 5);
}

TEST(Csv, BrokenRowsCostNoOther) {
  const CsvTable table = parse_csv("a,b\n1\n1,2,3\n\"open,2\n\"x\"y,2\n5,6\n");
  ASSERT_EQ(table.rows.size(), 5u);
  EXPECT_EQ(table.rows[0].problem, "has 1 cells; the head has 2");
  EXPECT_EQ(table.rows[1].problem, "has 3 cells; the head has 2");
  EXPECT_THAT(table.rows[2].problem, HasSubstr("quote"));
  EXPECT_EQ(table.rows[2].line, 4);
  EXPECT_THAT(table.rows[3].problem, HasSubstr("closing quote"));
  EXPECT_THAT(table.rows[4].cells, ElementsAre("5", "6"));
  EXPECT_EQ(table.rows[4].line, 6);
}

TEST(Csv, NumbersAreWholeAndFinite) {
  EXPECT_EQ(csv_real(" 2.5 "), 2.5);
  EXPECT_EQ(csv_integer("4096.0"), 4096);
  for (const char* bad : {"", "4k", "nan", "inf", "1e999", "0x10", "1 2"})
    EXPECT_EQ(csv_real(bad), std::nullopt) << bad;
  EXPECT_EQ(csv_integer("2.5"), std::nullopt);
  EXPECT_EQ(csv_integer("1e300"), std::nullopt);
}

TEST(Csv, CellsComeBackAsTheyWere) {
  for (const std::string text : {"plain", "a,b", "say \"x\"", "two\nlines", ""}) {
    const CsvTable table = parse_csv("head,b\n" + csv_cell(text) + ",end\n");
    ASSERT_EQ(table.rows.size(), 1u);
    EXPECT_EQ(table.rows[0].cells[0], text);
  }
}

}  // namespace
}  // namespace shardscope
