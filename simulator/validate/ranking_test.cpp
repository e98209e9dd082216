#include "simulator/validate/ranking.h"

#include <gmock/gmock.h>

#include <cmath>

namespace shardscope {
namespace {

std::optional<double> tau(const std::vector<double>& a, const std::vector<double>& b) {
  return count_pairs(a, b).tau();
}

TEST(Ranking, KendallsTau) {
  EXPECT_EQ(tau({1, 2, 3}, {10, 20, 30}), 1);
  EXPECT_EQ(tau({1, 2, 3}, {30, 20, 10}), -1);
  // Pairs of {1,2,3,4} and {1,3,2,4}: five agree, one does not.
  EXPECT_NEAR(*tau({1, 2, 3, 4}, {1, 3, 2, 4}), 4.0 / 6, 1e-12);
  // A tie in the first: two of its three pairs count, and agree; of the second all three: 2 / sqrt(2 * 3).
  EXPECT_NEAR(*tau({1, 1, 2}, {1, 2, 3}), 2 / std::sqrt(6.0), 1e-12);
  EXPECT_EQ(tau({1, 1}, {1, 2}), std::nullopt);
}

TEST(Ranking, PairsByHowFarApartTheyWerePublished) {
  // 100 and 101: 1 %; 100 and 104, 101 and 104: 4 and 3 %; the fourth is 50 % and more from each. Predicted the wrong
  // way round: 100 and 101, and 104 and 160.
  const Pairs pairs = count_pairs({100, 101, 104, 160}, {101, 100, 120, 110});
  const std::vector<int> number{1, 2, 0, 3}, wrong{1, 0, 0, 1};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(pairs.by_gap[i].pairs, number[i]) << i;
    EXPECT_EQ(pairs.by_gap[i].wrong, wrong[i]) << i;
  }
  EXPECT_NEAR(*pairs.tau(), 2.0 / 6, 1e-12);
  // A tie cannot be told the wrong way round.
  EXPECT_EQ(count_pairs({1, 1, 2}, {1, 2, 2}).by_gap[3].pairs, 1);
}

ValidatedRow row(const char* id, double published, double predicted, std::int64_t gpus = 8, int batch = 1) {
  ValidatedRow out{.run = {.id = id, .source = "s", .model_name = "m", .gpu = "g", .n_gpus = gpus}};
  out.setup.workload.seq = 10;
  out.plan.global_batch = batch;
  out.published_step_time_s = published;
  out.estimate.step_time_s = predicted;
  return out;
}

TEST(Ranking, SweepsHaveThreeRowsAndNameTheirWidestMistake) {
  const std::vector<ValidatedRow> rows{row("a", 1, 3), row("b", 2, 2), row("c", 4, 1), row("d", 1, 1, 16),
                                       row("e", 2, 2, 16)};
  std::vector<const ValidatedRow*> all;
  for (const ValidatedRow& one : rows) all.push_back(&one);
  const std::vector<Sweep> sweeps = sweeps_of(all);
  ASSERT_EQ(sweeps.size(), 1u);
  EXPECT_EQ(sweeps[0].rows.size(), 3u);
  EXPECT_EQ(*sweeps[0].pairs.tau(), -1);
  EXPECT_EQ(sweeps[0].faster + sweeps[0].slower, "ac");
  EXPECT_NEAR(sweeps[0].published, 3, 1e-12);
  EXPECT_NEAR(sweeps[0].predicted, 1.0 / 3 - 1, 1e-12);
}

TEST(Ranking, ByTimePerToken) {
  const std::vector<ValidatedRow> rows{row("a", 2, 2, 8, 1), row("b", 3, 3, 8, 2), row("c", 4, 4, 8, 4)};
  const std::vector<Sweep> sweeps = sweeps_of({rows.data(), &rows[1], &rows[2]});
  ASSERT_EQ(sweeps.size(), 1u);
  EXPECT_EQ(*sweeps[0].pairs.tau(), 1);
  EXPECT_EQ(sweeps[0].slower, "");
}

}  // namespace
}  // namespace shardscope
