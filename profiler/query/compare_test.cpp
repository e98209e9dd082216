// Two runs beside each other, on test_profile.h's steps: a step of rank 0 is 1000 units, of rank 1 twice as long.

#include <gmock/gmock.h>

#include <numeric>

#include "core/error.h"
#include "profiler/query/align_runs.h"
#include "profiler/query/op_calibration.h"
#include "profiler/query/op_differences.h"
#include "profiler/query/slice_differences.h"
#include "profiler/query/step_causes.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TempFolder;

/// One rank whose steps take `unit` ns a unit.
void record_rank(const std::string& path, const std::string& name, int steps, std::int64_t unit, bool predicted = false,
                 int rank = 0) {
  ProfileWriter writer(path, testing::tiny_run(name, predicted));
  RankTrace* trace = writer.open_rank(rank, testing::tiny_program(0, 2));
  for (int step = 0; step < steps; ++step) testing::trace_step(*trace, step, unit);
  trace->finish({}, 0);
  writer.finish();
  ASSERT_EQ(writer.problem(), "");
}

/// Run 1: two ranks, 5 steps. Run 2: its prediction, 2 steps. Run 3: rank 0 only, half as long, 4 steps. Run 4: no
/// steps. Run 5: rank 7.
class CompareQueries : public ::testing::Test {
 protected:
  CompareQueries() : path_(folder_.file("run.db")) {
    testing::record_tiny_profile(path_, "a", 5);
    testing::record_tiny_profile(path_, "a", 2, true);
    record_rank(path_, "fast", 4, 500);
    record_rank(path_, "none", 0, 1);
    record_rank(path_, "other", 2, 1000, false, 7);
    profile_.emplace(path_);
  }
  RunAlignment align(std::int64_t a, std::int64_t b) const { return align_runs(*profile_, a, *profile_, b); }
  std::string problem(std::int64_t a, std::int64_t b) const {
    try {
      align(a, b);
    } catch (const Error& error) {
      return error.what();
    }
    return "none";
  }
  TempFolder folder_;
  std::string path_;
  std::optional<Profile> profile_;
};

TEST_F(CompareQueries, APredictionRepeatsItsLastStep) {
  const RunAlignment alignment = align(1, 2);
  ASSERT_EQ(alignment.steps.size(), 5U);
  EXPECT_THAT(alignment.ranks, ElementsAre(0, 1));
  EXPECT_EQ(alignment.steps[4].a_step, 4);
  EXPECT_EQ(alignment.steps[4].b_step, 1);
  EXPECT_EQ(alignment.steps[1].slip_ns(), 0);
  EXPECT_TRUE(alignment.remarks.empty());
  EXPECT_THAT(align(2, 1).remarks, ElementsAre("A has no steps 2 to 4")) << "only what is laid over A repeats";
}

TEST_F(CompareQueries, WhatHasNothingBesideItIsSaid) {
  const RunAlignment alignment = align(1, 3);
  EXPECT_THAT(alignment.ranks, ElementsAre(0));
  EXPECT_THAT(alignment.remarks, ElementsAre("B has no rank 1", "B has no step 4"));
  ASSERT_EQ(alignment.steps.size(), 4U);
  EXPECT_EQ(alignment.steps[2].a, (TimeWindow{2'000'000, 3'000'000})) << "of the ranks of both runs";
  EXPECT_EQ(alignment.steps[2].b, (TimeWindow{1'000'000, 1'500'000}));
  EXPECT_EQ(alignment.steps[2].slip_ns(), 500'000);
}

TEST_F(CompareQueries, RunsThatShareNothingAreRefused) {
  EXPECT_THAT(problem(1, 4), HasSubstr("run none of " + path_ + " has no finished step"));
  EXPECT_THAT(problem(3, 5), HasSubstr("have no rank in common"));
  EXPECT_THAT(problem(1, 99), HasSubstr("there is no run 99"));
}

TEST_F(CompareQueries, TimesGoFromOneRunToTheOtherAndBack) {
  const RunAlignment alignment = align(1, 3);
  EXPECT_EQ(b_time(alignment, 2'100'000), 1'100'000);
  EXPECT_EQ(a_time(alignment, 1'100'000), 2'100'000);
  EXPECT_EQ(step_at(alignment, 2'100'000), 2U);
  EXPECT_EQ(b_time(alignment, 9'000'000), 7'500'000) << "goes on behind the last step";
  EXPECT_EQ(step_at(alignment, -5), 0U);
}

TEST_F(CompareQueries, CausesAddUpToTheStep) {
  const std::vector<StepCauses> causes = step_causes(*profile_, 1, {0, 1});
  ASSERT_EQ(causes.size(), 10U);
  // matmul 300, adam 200, load 100; the gather is exposed from 400 to 500, its 50 of waiting are hidden before that.
  EXPECT_EQ(causes[0].ns, (CauseTimes{300'000, 200'000, 100'000, 100'000, 0, 100'000, 200'000}));
  for (const StepCauses& step : causes)
    EXPECT_EQ(std::accumulate(step.ns.begin(), step.ns.end(), std::int64_t{0}), step.rank == 0 ? 1'000'000 : 2'000'000);
}

TEST_F(CompareQueries, WaitingThatNothingHidesIsAStragglers) {
  const std::string path = folder_.file("wait.db");
  {
    ProfileWriter writer(path, testing::tiny_run("w"));
    RankTrace* trace = writer.open_rank(0, testing::tiny_program(0, 2));
    trace->slice({testing::kMatMulOp, 0, Lane::kCompute, 0, 100, 0});
    trace->slice({testing::kGatherOp, 0, Lane::kGather, 50, 200, 120});  // waits to 170, moves to 250
    trace->slice({testing::kReduceOp, 0, Lane::kReduce, 150, 50, 0});    // moves from 150 to 200
    trace->step({0, 0, 300, 1, 1, 1});
    trace->finish({}, 0);
    writer.finish();
  }
  const std::vector<StepCauses> causes = step_causes(Profile(path), 1, {0});
  ASSERT_EQ(causes.size(), 1U);
  EXPECT_EQ(causes[0].ns, (CauseTimes{100, 0, 0, 100, 50, 0, 50})) << "from 100 to 150 all that communicates waits";
}

TEST_F(CompareQueries, TheDifferenceByCauseIsTheDifference) {
  const RunAlignment alignment = align(1, 3);
  const StepDifference all = step_difference(*profile_, 1, *profile_, 3, alignment);
  EXPECT_EQ(all.steps, 3) << "the first of four is left out";
  EXPECT_EQ(all.ranks, 1);
  EXPECT_EQ(all.difference_ns(), 3 * 500'000);
  EXPECT_EQ(all.difference_ns(Cause::kCompute), 3 * 150'000);
  EXPECT_DOUBLE_EQ(all.mean_s(all.difference_ns()), 500e-6);
  std::int64_t sum = 0;
  for (int cause = 0; cause < kCauses; ++cause) sum += all.difference_ns(static_cast<Cause>(cause));
  EXPECT_EQ(sum, all.difference_ns());
  EXPECT_EQ(step_difference(*profile_, 1, *profile_, 3, alignment, {.rank = 0, .step = 2}).difference_ns(), 500'000);
  EXPECT_THROW(step_difference(*profile_, 1, *profile_, 3, alignment, {.rank = 1}), Error);
  EXPECT_THROW(step_difference(*profile_, 1, *profile_, 3, alignment, {.step = 4}), Error);
}

TEST_F(CompareQueries, OpsAreMatchedByName) {
  const std::vector<OpDifference> ops = op_differences(*profile_, 1, *profile_, 3);
  ASSERT_EQ(ops.size(), 6U);
  EXPECT_EQ(to_string(ops[0].label), "matmul h.0.mlp (forward)") << "the largest difference first";
  EXPECT_NEAR(ops[0].a_s, 450e-6, 1e-12) << "mean of both ranks";
  EXPECT_NEAR(ops[0].b_s, 150e-6, 1e-12);
  EXPECT_DOUBLE_EQ(ops[0].a_count, 1);
  EXPECT_DOUBLE_EQ(ops[0].count_change(), 0);
  double shares = 0;
  for (const OpDifference& op : ops) shares += op.share;
  EXPECT_NEAR(shares, 1, 1e-12);
  for (const OpDifference& op : op_differences(*profile_, 1, *profile_, 2)) EXPECT_DOUBLE_EQ(op.share, 0);
}

TEST_F(CompareQueries, RunsWithoutACommonOpAreRefused) {
  const std::string path = folder_.file("empty.db");
  record_rank(path, "none", 0, 1);
  const Profile empty(path);
  EXPECT_THROW(op_differences(*profile_, 1, empty, 1), Error);
  EXPECT_THROW(op_calibration(*profile_, 1, empty, 1), Error);
}

TEST_F(CompareQueries, DurationsOfOneOp) {
  const std::vector<double> seconds = op_durations(*profile_, 3, {"all_gather", "forward", "h.0"});
  ASSERT_EQ(seconds.size(), 4U);
  for (double s : seconds) EXPECT_DOUBLE_EQ(s, 100e-6);
  EXPECT_TRUE(op_durations(*profile_, 3, {"all_gather", "backward", "h.0"}).empty());
}

TEST_F(CompareQueries, CalibrationLeavesTheWaitingOut) {
  const std::vector<CalibrationPoint> points = op_calibration(*profile_, 3, *profile_, 2);
  ASSERT_EQ(points.size(), 6U);
  EXPECT_EQ(points[2].label.kind, "all_gather");
  EXPECT_DOUBLE_EQ(points[2].measured_s, 75e-6);
  EXPECT_DOUBLE_EQ(points[2].predicted_s, 225e-6) << "150 and 300: mean of the ranks";
  EXPECT_DOUBLE_EQ(points[2].ratio(), 3);
  EXPECT_EQ(score_of(points).within_two, 0U);
  EXPECT_NEAR(score_of(points).median_error, 2, 1e-9);
  EXPECT_EQ(score_of(op_calibration(*profile_, 1, *profile_, 2)).within_two, 6U);
}

TEST_F(CompareQueries, DifferencesAlongALane) {
  const Timeline a(*profile_, 1), b(*profile_, 3);
  const RunAlignment alignment = align(1, 3);
  const std::vector<SliceDifference> all = slice_differences(a, b, alignment, 0, "compute");
  ASSERT_EQ(all.size(), 12U) << "three ops in four steps";
  EXPECT_EQ(all[1].a, (TimeWindow{100'000, 400'000}));
  EXPECT_EQ(all[1].b, (TimeWindow{50'000, 200'000}));
  EXPECT_EQ(all[1].delta_ns(), -150'000);
  EXPECT_TRUE(slice_differences(a, b, alignment, 1, "compute").empty()) << "B has no rank 1";
  EXPECT_EQ(notable_ns(all, alignment), 10'000);
  const auto next = next_difference(all, 100'000, true, 100'000), before = next_difference(all, 100'000, false, 1);
  ASSERT_TRUE(next && before);
  EXPECT_EQ(next->a.begin_ns, 800'000);
  EXPECT_EQ(before->a.begin_ns, 0);
  EXPECT_FALSE(next_difference(all, 100'000, true, 1'000'000));
}

}  // namespace
}  // namespace shardscope
