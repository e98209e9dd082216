// Every query on a small profile whose answers are known by hand (profiler/store/test_profile.h), and the views against
// the queries.

#include <gmock/gmock.h>

#include <cmath>

#include "core/error.h"
#include "profiler/query/collective_bandwidth.h"
#include "profiler/query/exposed_communication.h"
#include "profiler/query/list_runs.h"
#include "profiler/query/memory_by_category.h"
#include "profiler/query/op_comparison.h"
#include "profiler/query/op_seconds.h"
#include "profiler/query/op_summary.h"
#include "profiler/query/pair_runs.h"
#include "profiler/query/step_breakdown.h"
#include "profiler/query/step_times.h"
#include "profiler/store/program_rows.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using testing::TempFolder;

/// Runs: 1 "a" measured (5 steps), 2 "a" predicted (2 steps), 3 "b" measured (1 step). Rank 0 takes 1 ms a step, rank 1
/// 2 ms.
class Queries : public ::testing::Test {
 protected:
  Queries() : path_(folder_.file("run.db")) {
    testing::record_tiny_profile(path_, "a", 5);
    testing::record_tiny_profile(path_, "a", 2, true);
    testing::record_tiny_profile(path_, "b", 1);
  }
  TempFolder folder_;
  std::string path_;
};

TEST_F(Queries, ListRuns) {
  const Profile profile(path_);
  const std::vector<RunRow> runs = list_runs(profile);
  ASSERT_EQ(runs.size(), 3U);
  EXPECT_EQ(runs[0].name, "a");
  EXPECT_FALSE(runs[0].predicted);
  EXPECT_TRUE(runs[1].predicted);
  EXPECT_EQ(runs[0].steps, 5);
  EXPECT_EQ(runs[0].world, 2);
  EXPECT_EQ(runs[0].zero_stage, 2);
  EXPECT_EQ(runs[0].tokens_per_step, 64);
  EXPECT_EQ(runs[0].status, "finished");
  EXPECT_EQ(runs[0].problems, 0);
  const std::vector<RankRow> ranks = list_ranks(profile, 1);
  ASSERT_EQ(ranks.size(), 2U);
  EXPECT_EQ(ranks[1].rank, 1);
  EXPECT_EQ(ranks[1].rss_bytes, 1 << 20);
  EXPECT_EQ(ranks[1].peak_bytes[0], 12288);
  EXPECT_EQ(ranks[1].peak_bytes[1], 0);
}

TEST_F(Queries, FindRunByNumberAndName) {
  const Profile profile(path_);
  EXPECT_EQ(find_run(profile, "2").id, 2);
  EXPECT_EQ(find_run(profile, "a").id, 1) << "measured before predicted";
  EXPECT_EQ(find_run(profile, "b").id, 3);
  EXPECT_THROW(find_run(profile, "c"), Error);
  EXPECT_THROW(find_run(profile, "4"), Error);
  EXPECT_THROW(find_run(profile, ""), Error);
}

TEST_F(Queries, OpSecondsLeaveWaitingAndTheFirstStepOut) {
  const Profile profile(path_);
  const std::vector<RankSeconds> ranks = op_seconds(profile, 1);
  ASSERT_EQ(ranks.size(), 2U);
  for (const RankSeconds& rank : ranks) {
    const double ms = 1e-3 * (rank.rank + 1);
    ASSERT_EQ(rank.seconds.size(), 7U);
    EXPECT_EQ(rank.seconds[static_cast<std::size_t>(testing::kAllocOp.index)], 0) << "takes no time";
    EXPECT_NEAR(rank.seconds[static_cast<std::size_t>(testing::kMatMulOp.index)], 0.3 * ms, 1e-12);
    EXPECT_NEAR(rank.seconds[static_cast<std::size_t>(testing::kGatherOp.index)], 0.15 * ms, 1e-12)
        << "0.05 of 0.2 waiting";
    EXPECT_EQ(rank.quick_seconds, rank.seconds) << "all steps are alike";
    EXPECT_NEAR(rank.lane_gap_s, 0.2 * ms, 1e-12) << "load, matmul: none; matmul, adam: 0.4";
    EXPECT_EQ(rank.program_hash, hash_of(op_records(testing::tiny_program(rank.rank, 2))));
  }
  EXPECT_EQ(job_record(profile, 1), "{}");
  EXPECT_TRUE(op_seconds(profile, 99).empty());
}

TEST_F(Queries, StepBreakdownAddsUp) {
  const Profile profile(path_);
  const std::vector<RankBreakdown> ranks = step_breakdown(profile, 1);
  ASSERT_EQ(ranks.size(), 2U);
  EXPECT_EQ(ranks[0].steps, 4) << "the first of five is left out";
  for (const RankBreakdown& rank : ranks) {
    const double ms = 1e-3 * (rank.rank + 1);
    EXPECT_NEAR(rank.mean.compute_s, 0.3 * ms, 1e-12);
    EXPECT_NEAR(rank.mean.optimizer_s, 0.2 * ms, 1e-12);
    EXPECT_NEAR(rank.mean.load_s, 0.1 * ms, 1e-12);
    EXPECT_NEAR(rank.mean.exposed_communication_s, 0.1 * ms, 1e-12);
    EXPECT_NEAR(rank.mean.offload_s, 0.1 * ms, 1e-12);
    EXPECT_NEAR(rank.mean.idle_s, 0.2 * ms, 1e-12);
    EXPECT_NEAR(rank.mean.total_s, ms, 1e-12);
    EXPECT_NEAR(rank.mean.communication_s, 0.3 * ms, 1e-12);
  }
  EXPECT_NEAR(mean_breakdown(profile, 1).total_s, 1.5e-3, 1e-12);
  EXPECT_EQ(step_breakdown(profile, 2)[0].steps, 2) << "of two none is left out";
  EXPECT_EQ(mean_breakdown(profile, 99).total_s, 0);
  const std::vector<StepParts> steps = step_breakdown_by_step(profile, 1);
  ASSERT_EQ(steps.size(), 10U);
  for (const StepParts& step : steps) {
    const Breakdown& b = step.parts;
    EXPECT_DOUBLE_EQ(b.compute_s + b.optimizer_s + b.load_s + b.exposed_communication_s + b.offload_s + b.idle_s,
                     b.total_s);
  }
}

TEST_F(Queries, StepBreakdownViewAddsUp) {
  const Profile profile(path_);
  Rows rows = profile.rows(
      "SELECT compute_ms + optimizer_ms + load_ms + exposed_communication_ms + offload_ms + idle_ms, total_ms, source "
      "FROM step_breakdown");
  int count = 0;
  for (; rows.next(); ++count) EXPECT_NEAR(rows.real(0), rows.real(1), 0.004) << "six roundings to a microsecond";
  EXPECT_EQ(count, 6);
}

TEST_F(Queries, StepTimes) {
  const Profile profile(path_);
  const StepTimes times = step_times(profile, 1);
  EXPECT_EQ(times.losses, (std::vector<double>{5, 4, 3, 2, 1}));
  ASSERT_EQ(times.times_s.size(), 5U);
  EXPECT_NEAR(times.median_s, 2e-3, 1e-12) << "the slowest rank's";
  EXPECT_NEAR(times.tokens_per_s, 32000, 1e-6);
  EXPECT_EQ(step_times(profile, 99).median_s, 0);
}

TEST(Quantile, InterpolatesBetweenNeighbours) {
  EXPECT_EQ(quantile({}, 0.5), 0);
  EXPECT_EQ(quantile({3}, 0.9), 3);
  EXPECT_EQ(quantile({4, 1, 3, 2}, 0.5), 2.5);
  EXPECT_EQ(quantile({1, 2, 3}, 0), 1);
  EXPECT_EQ(quantile({1, 2, 3}, 1), 3);
  EXPECT_NEAR(quantile({10, 20, 30, 40, 50, 60}, 0.1), 15, 1e-12);
}

TEST_F(Queries, OpSummary) {
  const Profile profile(path_);
  const std::vector<OpSummary> ops = op_summary(profile, 1);
  ASSERT_EQ(ops.size(), 6U) << "alloc did not run";
  EXPECT_EQ(ops[0].kind, "matmul");
  EXPECT_EQ(ops[0].phase, "forward");
  EXPECT_EQ(ops[0].count, 10);
  EXPECT_NEAR(ops[0].total_s, 5 * (300e-6 + 600e-6), 1e-12);
  EXPECT_NEAR(ops[0].min_s, 300e-6, 1e-12);
  EXPECT_NEAR(ops[0].max_s, 600e-6, 1e-12);
  EXPECT_NEAR(ops[0].flops_per_s, 10 * 2.0 * 32 * 32 * 32 / 4.5e-3, 1);
  EXPECT_EQ(op_summary(profile, 1, 2).size(), 2U);
  for (const OpSummary& op : ops) {
    if (op.kind == "all_gather") {
      EXPECT_NEAR(op.exposed_s, 5 * (100e-6 + 200e-6), 1e-12);
      EXPECT_NEAR(op.wait_s, 5 * (50e-6 + 100e-6), 1e-12);
    }
    if (op.kind == "reduce_scatter") {
      EXPECT_EQ(op.exposed_s, 0);
    }
  }
}

TEST_F(Queries, MemoryByCategory) {
  const Profile profile(path_);
  const std::vector<MemoryRow> rows = memory_by_category(profile, 1);
  ASSERT_EQ(rows.size(), 6U);
  EXPECT_EQ(rows[0].category, Category::kParameter);
  EXPECT_EQ(rows[0].at_peak_bytes, 4096);
  EXPECT_EQ(rows[2].category, Category::kBucket);
  EXPECT_EQ(rows[2].at_peak_bytes, 0);
  EXPECT_EQ(rows[2].own_peak_bytes, 6000);
  EXPECT_EQ(rows[3].rank, 1);
}

TEST_F(Queries, MemoryOverTime) {
  const Profile profile(path_);
  const std::vector<MemorySample> all = memory_over_time(profile, 1, 1, Space::kDevice);
  EXPECT_EQ(all.size(), 20U);
  const std::vector<MemorySample> step = memory_over_time(profile, 1, 1, Space::kDevice, 2);
  ASSERT_EQ(step.size(), 4U);
  EXPECT_EQ(step[0].time_ns, 4'000'000);
  EXPECT_EQ(step[2].time_ns, 5'800'000);
  EXPECT_EQ(step[2].category, Category::kActivation);
  EXPECT_EQ(step[2].live_bytes, 0);
  EXPECT_TRUE(memory_over_time(profile, 1, 1, Space::kHost).empty());
}

TEST_F(Queries, CollectiveBandwidthAsNcclTests) {
  const Profile profile(path_);
  const std::vector<CollectiveBandwidth> rows = collective_bandwidth(profile, 1);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].kind, "all_gather");
  EXPECT_EQ(rows[0].group, "dp");
  EXPECT_EQ(rows[0].ranks, 2);
  EXPECT_EQ(rows[0].bytes, 8192);
  EXPECT_EQ(rows[0].count, 10);
  EXPECT_NEAR(rows[0].mean_s, 300e-6, 1e-12);
  EXPECT_NEAR(rows[0].mean_wait_s, 75e-6, 1e-12);
  EXPECT_NEAR(rows[0].algbw, 8192 / 225e-6, 1);
  EXPECT_NEAR(rows[0].busbw, 8192 / 225e-6 / 2, 1) << "(n-1)/n";
}

TEST(CollectiveBandwidth, BusFactors) {
  const TempFolder folder;
  const int world = 4;
  Program p = testing::tiny_program(0, world);
  const Region full = p.whole(BufferId{0}), part = p.whole(BufferId{1});
  p.instructions.clear();
  const GroupId dp{0};
  for (const Op& op : std::initializer_list<Op>{AllReduce{dp, full}, ReduceScatter{dp, full, part},
                                                AllGather{dp, part, full}, Broadcast{dp, full, 0},
                                                AllToAll{dp, full, full}, Send{dp, part, 1}, Recv{dp, part, 1}}) {
    p.instructions.push_back({op, Lane::kReduce, {Phase::kBackward, 0, 0, {}}, {}});
  }
  {
    ProfileWriter writer(folder.file("run.db"), testing::tiny_run("x"));
    RankTrace* trace = writer.open_rank(0, p);
    for (int i = 0; i < 7; ++i) trace->slice({OpId{i}, 0, Lane::kReduce, i * 1000, 1000, 0});
    trace->step({0, 0, 7000, 1, 1, 1});
    trace->finish({}, 0);
  }
  std::map<std::string, double> factors;
  for (const CollectiveBandwidth& c : collective_bandwidth(Profile(folder.file("run.db")), 1)) {
    factors[c.kind] = c.busbw / c.algbw;
    EXPECT_NEAR(c.algbw, static_cast<double>(c.bytes) / 1e-6, 1) << c.kind;
  }
  EXPECT_NEAR(factors["all_reduce"], 1.5, 1e-12);
  for (const char* kind : {"reduce_scatter", "all_gather", "all_to_all"}) EXPECT_NEAR(factors[kind], 0.75, 1e-12);
  for (const char* kind : {"broadcast", "send", "recv"}) EXPECT_NEAR(factors[kind], 1, 1e-12);
}

TEST_F(Queries, ExposedCommunication) {
  const std::vector<ExposedCommunication> ranks = exposed_communication(Profile(path_), 1);
  ASSERT_EQ(ranks.size(), 2U);
  EXPECT_NEAR(ranks[1].communication_s, 600e-6, 1e-12);
  EXPECT_NEAR(ranks[1].exposed_s, 200e-6, 1e-12);
  EXPECT_NEAR(ranks[1].step_s, 2e-3, 1e-12);
}

TEST_F(Queries, OpComparisonJoinsOnOps) {
  const Profile profile(path_);
  const std::string other = folder_.file("other.db");
  {
    ProfileWriter writer(other, testing::tiny_run("a", true));
    RankTrace* trace = writer.open_rank(0, testing::tiny_program(0, 2));
    trace->slice({testing::kMatMulOp, 0, Lane::kCompute, 0, 100'000, 0});
    trace->slice({testing::kAdamOp, 0, Lane::kCompute, 100'000, 190'000, 0});
    trace->step({0, 0, 300'000, NAN, NAN, NAN});
    trace->finish({}, 0);
    RankTrace* different = writer.open_rank(1, testing::tiny_program(0, 3));
    different->finish({}, 0);
  }
  const Profile predicted(other);
  const std::vector<OpComparison> ops = op_comparison(profile, 1, predicted, 1, 0);
  ASSERT_EQ(ops.size(), 2U) << "only what ran in both";
  EXPECT_EQ(ops[0].kind, "matmul");
  EXPECT_EQ(ops[0].name, "h.0.mlp");
  EXPECT_EQ(ops[0].layer, 0);
  EXPECT_NEAR(ops[0].a_mean_s, 300e-6, 1e-12);
  EXPECT_NEAR(ops[0].b_mean_s, 100e-6, 1e-12);
  EXPECT_EQ(ops[1].kind, "adam");
  EXPECT_THROW(op_comparison(profile, 1, predicted, 1, 1), Error) << "rank 1 runs another program";
  EXPECT_THROW(op_comparison(profile, 1, predicted, 1, 7), Error) << "no such rank";
}

std::string pairs_text(const std::vector<PairableRun>& runs) {
  std::string text;
  for (const RunPair& pair : pair_runs(runs)) {
    text += (pair.measured ? std::to_string(*pair.measured) : "-") + "/" +
            (pair.predicted ? std::to_string(*pair.predicted) : "-") + " ";
  }
  return text;
}

TEST(PairRuns, ByNameNearestPredictionFirst) {
  const PairableRun measured_1{0, 1, "a", false}, predicted_2{0, 2, "a", true}, measured_3{0, 3, "a", false},
      predicted_4{0, 4, "a", true}, elsewhere_1{1, 1, "a", true}, other_5{0, 5, "b", true};
  EXPECT_EQ(pairs_text({}), "");
  EXPECT_EQ(pairs_text({measured_1}), "0/- ");
  EXPECT_EQ(pairs_text({other_5, measured_1}), "1/- -/0 ");
  EXPECT_EQ(pairs_text({measured_1, predicted_2, measured_3, predicted_4, other_5}), "0/1 2/3 -/4 ");
  EXPECT_EQ(pairs_text({predicted_2, measured_3}), "1/0 ") << "an earlier one, if there is no later";
  EXPECT_EQ(pairs_text({measured_1, elsewhere_1}), "0/1 ") << "of another file, if there is none here";
  EXPECT_EQ(pairs_text({measured_1, elsewhere_1, predicted_4}), "0/2 -/1 ");
}

}  // namespace
}  // namespace shardscope
