#include "simulator/validate/residuals.h"

#include <gmock/gmock.h>

namespace shardscope {
namespace {

ValidatedRow row(const char* source, const char* framework, int gpus, double published, double predicted) {
  ValidatedRow out{.run = {.source = source, .quality = 'A'}, .plan = {.gpus = gpus}};
  out.setup.framework.name = framework;
  out.published_step_time_s = published;
  out.estimate.step_time_s = predicted;
  return out;
}

TEST(Residuals, IntervalsByFrameworkAndSize) {
  std::vector<ValidatedRow> rows;
  for (int i = 1; i <= 20; ++i) rows.push_back(row("one", "fsdp", 8, 0.5 + 0.05 * i, 1));
  for (int i = 1; i <= 11; ++i) rows.push_back(row("two", "megatron", 1024, 3, 1));  // too few to speak for themselves
  const auto table = residual_intervals(rows, "AB", "here");
  const IntervalRow& small = find_interval(table, "fsdp", 4);
  EXPECT_EQ(small.framework, "fsdp");
  EXPECT_EQ(small.max_gpus, 8);
  EXPECT_EQ(small.rows, 20);
  EXPECT_NEAR(small.low, 0.625, 1e-9);  // between the second and the third of twenty
  EXPECT_NEAR(small.median, 1.025, 1e-9);
  EXPECT_NEAR(small.high, 1.425, 1e-9);
  EXPECT_EQ(find_interval(table, "megatron", 1024).framework, "any");
  EXPECT_NEAR(find_interval(table, "megatron", 1024).high, 3, 1e-9);  // of all runs, half of the weight at 3
  const auto again = parse_intervals(intervals_csv(table), "intervals.csv");
  ASSERT_EQ(again.size(), table.size());
  EXPECT_NEAR(again[0].high, table[0].high, 1e-3);
}

}  // namespace
}  // namespace shardscope
