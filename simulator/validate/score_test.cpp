#include "simulator/validate/score.h"

#include <gmock/gmock.h>

namespace shardscope {
namespace {

TEST(Score, QuantilesByWeight) {
  EXPECT_EQ(weighted_quantile({{3}, {1}, {2}}, 0.5), 2);
  EXPECT_EQ(weighted_quantile({{4}, {1}, {2}, {3}}, 0.5), 2.5);
  EXPECT_EQ(weighted_quantile({{1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9}, {10}}, 0.9), 9.5);
  EXPECT_EQ(weighted_quantile({{7}}, 0.9), 7);
  EXPECT_EQ(weighted_quantile({{1, 0.1}, {2, 0.1}, {9, 1}}, 0.5), 9);
}

ValidatedRow row(const char* source, double published, double predicted, char quality = 'A') {
  ValidatedRow out{.run = {.source = source, .quality = quality, .model_name = "m", .gpu = "g", .n_gpus = 8}};
  out.setup.workload.seq = 10;
  out.published_step_time_s = published;
  out.estimate.step_time_s = predicted;
  return out;
}

TEST(Score, SourcesWeighTheSame) {
  std::vector<ValidatedRow> rows{row("one", 10, 11), row("one", 10, 9), row("one", 20, 18), row("two", 10, 15),
                                 row("two", 10, 99, 'C')};
  rows[0].estimate.fits = true;
  const auto scores = score_sources(rows, "AB");
  ASSERT_EQ(scores.size(), 2u);
  EXPECT_EQ(scores.at("one").step_time.n, 3);
  EXPECT_NEAR(*scores.at("one").step_time.mape, 0.1, 1e-12);
  EXPECT_NEAR(scores.at("one").step_time.bias, -0.1 / 3, 1e-12);
  EXPECT_EQ(scores.at("one").fit, 1);
  EXPECT_EQ(scores.at("one").sweeps, 1);
  EXPECT_EQ(scores.at("two").step_time.n, 1);
  EXPECT_FALSE(scores.at("two").kendall_tau);
  EXPECT_FALSE(scores.at("two").memory.mape);
  const Score all = score_overall(rows, "AB");
  EXPECT_NEAR(*all.step_time.mape, 0.3, 1e-12);
  EXPECT_NEAR(*all.step_time.median, 0.3, 1e-12);  // half of the weight at 0.1, half at 0.5
  EXPECT_NEAR(*all.step_time.p90, 0.5, 1e-12);
  EXPECT_EQ(score_overall(rows, "C").step_time.n, 1);
}

TEST(Score, SkippedRowsAreCountedAndNotScored) {
  std::vector<ValidatedRow> rows{row("one", 10, 11), row("one", 10, 9)};
  rows[1].setup.skipped = "why";
  const Score score = score_sources(rows, "AB").at("one");
  EXPECT_EQ(score.step_time.n, 1);
  EXPECT_EQ(score.skipped, 1);
  EXPECT_EQ(score.predicted, 1);
}

}  // namespace
}  // namespace shardscope
