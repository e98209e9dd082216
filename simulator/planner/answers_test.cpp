// What the planner says beside the front: fit, conflicts of wishes, relief, serving, intervals, plots.

#include <gmock/gmock.h>

#include "core/error.h"
#include "simulator/planner/constraints.h"
#include "simulator/planner/fit.h"
#include "simulator/planner/intervals.h"
#include "simulator/planner/planner_fixture_for_test.h"
#include "simulator/planner/plots.h"
#include "simulator/planner/relief.h"
#include "simulator/planner/serve.h"

namespace shardscope {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Property;
using testing::Throws;

const FitRow& row_of(const FitTable& table, int zero, Offload offload) {
  for (const FitRow& r : table.rows) {
    if (r.plan.zero == zero && r.plan.offload == offload) return r;
  }
  throw std::runtime_error("no such row");
}

// 13 B parameters at 16 bytes are 208 GB: stage 0 cannot fit 80 GB, stage 3 on 8 GPUs can.
TEST(Fit, HigherStagesFitWhereLowerDoNot) {
  const FitTable table = fit(candidate_for_test("llama-2-13b", 4096, "dgx-a100", "deepspeed"), 8, 64);
  EXPECT_FALSE(row_of(table, 0, Offload::kNone).fits);
  EXPECT_THAT(row_of(table, 0, Offload::kNone).problem, HasSubstr("too much for the GPU"));
  EXPECT_TRUE(row_of(table, 3, Offload::kNone).fits);
  ASSERT_TRUE(table.recommended.has_value());
  const FitRow& best = table.rows[*table.recommended];
  for (const FitRow& r : table.rows) {
    if (r.fits) {
      EXPECT_GE(r.estimate.step_time_s, 0.98 * best.estimate.step_time_s);
    }
  }
  EXPECT_THAT(table.why, HasSubstr("fits with 5 % of the device left"));
}

// As `plan` does: the fastest variant of ZeRO-3 that fits here leaves less.
TEST(Fit, WhatIsRecommendedLeavesATwentiethOfTheDevice) {
  const Candidate c = candidate_for_test("llama-2-13b", 4096, "dgx-a100", "deepspeed");
  for (const std::int64_t batch : {64, 384}) {
    const FitTable table = fit(c, 8, batch);
    ASSERT_TRUE(table.recommended.has_value());
    EXPECT_LE(table.rows[*table.recommended].estimate.used, 0.95 * c.target.gpu.memory.value);
  }
}

TEST(Fit, OffloadTakesMemoryFromTheDeviceToTheHost) {
  const FitTable table = fit(candidate_for_test("llama-2-7b", 4096, "dgx-a100", "deepspeed"), 2, 8);
  const FitRow &kept = row_of(table, 3, Offload::kNone), &away = row_of(table, 3, Offload::kOptimizer);
  EXPECT_LT(away.estimate[MemoryTerm::kOptimizer], kept.estimate[MemoryTerm::kOptimizer]);
  EXPECT_GT(away.estimate.host_bytes, kept.estimate.host_bytes);
}

TEST(Fit, SaysWhatWouldFit) {
  const FitTable table = fit(candidate_for_test("llama-3-70b", 8192, "rtx-4090-server", "megatron"), 2, 8);
  EXPECT_FALSE(table.recommended.has_value());
  ASSERT_THAT(table.advice, Not(IsEmpty()));
  EXPECT_THAT(table.advice[0], HasSubstr("GPUs instead of 2"));
}

class Conflicts : public testing::Test {
 protected:
  Conflicts() {
    request.candidates = {candidate_for_test("llama-2-7b", 4096, "dgx-h100", "megatron")};
    request.candidates[0].run.tokens = 100e9;
    request.max_gpus = 64;
    request.global_batch = 256;
    found = search(request);
  }
  SearchRequest request;
  SearchResult found;
};

TEST_F(Conflicts, NoneWhereWishesHold) {
  EXPECT_EQ(find_conflict(request, found, {}), "");
  EXPECT_EQ(find_conflict(request, found, {.deadline_days = 1e4, .budget_usd = 1e9}), "");
}

TEST_F(Conflicts, NameTheWishAndTheNearest) {
  const PlanPoint& fast = *best_point(found.pareto, Objective::kTime);
  const PlanPoint& cheap = *best_point(found.pareto, Objective::kCost);
  EXPECT_THAT(find_conflict(request, found, {.deadline_days = fast.run.days * 0.7, .budget_usd = {}}),
              testing::AllOf(HasSubstr("--deadline"), HasSubstr("64 x h100-sxm"), HasSubstr("would take")));
  EXPECT_THAT(find_conflict(request, found, {.deadline_days = {}, .budget_usd = cheap.run.cost_usd * 0.9}),
              testing::AllOf(HasSubstr("--budget"), HasSubstr(format_usd(cheap.run.cost_usd))));
  if (fast.run.cost_usd > 1.02 * cheap.run.cost_usd) {
    EXPECT_THAT(
        find_conflict(request, found, {.deadline_days = fast.run.days * 1.01, .budget_usd = cheap.run.cost_usd * 1.01}),
        HasSubstr("contradict each other"));
  }
}

TEST_F(Conflicts, ModelsThatFitNowhereNameTheNearest) {
  request.candidates = {candidate_for_test("bloom", 2048, "rtx-4090-server", "megatron")};
  request.max_gpus = 8;
  EXPECT_THAT(find_conflict(request, search(request), {}),
              testing::AllOf(HasSubstr("fits on none"), HasSubstr("rtx-4090"), HasSubstr("framework with offload")));
  request.candidates = {candidate_for_test("bloom", 2048, "rtx-4090-server", "deepspeed")};
  const std::string why = find_conflict(request, search(request), {});
  EXPECT_THAT(why, testing::AllOf(HasSubstr("deepspeed: dp "), testing::Not(HasSubstr("framework with offload"))));
}

TEST(ReliefOf, AFasterPeakHelpsWhatComputes) {
  const Candidate c = candidate_for_test("llama-3-8b", 8192, "dgx-h100", "megatron");
  const Relief r = find_relief(c.workload, c.target, c.framework, {.gpus = 8, .dp = 8, .zero = 1, .global_batch = 512});
  EXPECT_EQ(r.bottleneck, TimeTerm::kMatmul);
  EXPECT_EQ(r.changes.front().name, "twice the peak FLOP/s");
  EXPECT_LT(r.changes.front().change, -0.2);
  for (const HardwareChange& change : r.changes) EXPECT_LE(change.change, 1e-9) << change.name;
}

// One token of llama-3-70b: 80 layers, 8 heads of 128, keys and values, 2 bytes each.
TEST(Serve, CacheBytesAreThoseOfTheShape) {
  const ModelSpec model = find_model("llama-3-70b");
  EXPECT_EQ(cache_bytes_per_token(model, 1), 2.0 * 80 * 8 * 128 * 2);
  EXPECT_EQ(cache_bytes_per_token(model, 8), 2.0 * 80 * 128 * 2);
  EXPECT_EQ(cache_bytes_per_token(model, 16), cache_bytes_per_token(model, 8));
}

TEST(Serve, MeetsTheLatencyAndTheRate) {
  const std::vector<ServeTarget> targets{{target_for_test("dgx-h100"), 2.5}, {target_for_test("dgx-a100"), 1.5}};
  const ServeRequest request{
      .model = find_model("llama-3-70b"), .prompt = 2000, .output = 300, .rps = 20, .latency_s = 15};
  const ServeTable table = plan_serving(request, targets);
  ASSERT_THAT(table.plans, Not(IsEmpty()));
  for (const ServePlan& p : table.plans) {
    EXPECT_LE(p.latency_s, 15);
    EXPECT_GE(p.rps, 20);
    EXPECT_GT(p.tp, 1);  // 141 GB of weights
    EXPECT_LE(p.weight_bytes + p.cache_bytes, targets[p.target].target.gpu.memory.value);
  }
  EXPECT_TRUE(std::is_sorted(table.plans.begin(), table.plans.end(),
                             [](const auto& a, const auto& b) { return a.usd_per_million < b.usd_per_million; }));
}

// Reading 16 GB of weights at 3.35 TB/s takes 4.8 ms; nobody decodes a token of an 8 B model faster on one H100.
TEST(Serve, DecodeIsBoundByReadingWeights) {
  const ServeTable table =
      plan_serving({.model = find_model("llama-3-8b"), .prompt = 100, .output = 100, .rps = 0.01, .latency_s = 60},
                   {{target_for_test("dgx-h100"), 2.5}});
  for (const ServePlan& p : table.plans) {
    if (p.tp == 1) {
      EXPECT_GT(p.decode_step_s, 0.0048);
    }
    EXPECT_LT(p.decode_step_s, 0.05);
  }
}

TEST(Serve, SaysWhatIsPossibleWhereTheLatencyIsNot) {
  const ServeTable table =
      plan_serving({.model = find_model("llama-3-70b"), .prompt = 2000, .output = 300, .rps = 1, .latency_s = 0.05},
                   {{target_for_test("dgx-h100"), 2.5}});
  EXPECT_THAT(table.plans, IsEmpty());
  EXPECT_THAT(table.problem, testing::AllOf(HasSubstr("--latency 50 ms"), HasSubstr("h100-sxm tp 8")));
}

TEST(Intervals, TheMostSpecialRowCounts) {
  const auto rows = parse_intervals(
      "framework,min_gpus,max_gpus,low,median,high,rows,source\nany,1,0,0.8,1,1.3,0,guess\n"
      "megatron,1,0,0.9,1,1.2,50,runs\nmegatron,65,512,0.95,1,1.1,20,runs\n",
      "intervals.csv");
  EXPECT_EQ(find_interval(rows, "fsdp2", 64).low, 0.8);
  EXPECT_EQ(find_interval(rows, "megatron", 64).low, 0.9);
  EXPECT_EQ(find_interval(rows, "megatron-te", 128).low, 0.95);
  EXPECT_FALSE(default_intervals().empty());
}

TEST(Intervals, HoldThePredictionThatTheyAreAbout) {
  const IntervalRow slower{.low = 1.01, .median = 1.2, .high = 2.2}, faster{.low = 0.7, .median = 0.8, .high = 0.9};
  EXPECT_EQ(slower.from(), 1);
  EXPECT_EQ(slower.to(), 2.2);
  EXPECT_EQ(faster.from(), 0.7);
  EXPECT_EQ(faster.to(), 1);
  for (const IntervalRow& row : default_intervals()) EXPECT_TRUE(row.from() <= 1 && 1 <= row.to()) << row.framework;
}

TEST(Intervals, BrokenFilesAreRefused) {
  const auto refused = [](const std::string& rows, const char* why) {
    EXPECT_THAT([&] { parse_intervals("framework,min_gpus,max_gpus,low,median,high,rows,source\n" + rows, "i.csv"); },
                Throws<Error>(Property(&Error::what, HasSubstr(why))));
  };
  refused("any,1,0,1.2,1.15,1.1,0,x\n", "i.csv:2: low");
  refused("any,1,0,0.9,1.2,1.1,0,x\n", "i.csv:2: low");
  refused("any,1,0,a,1,1.1,0,x\n", "low must be a number");
  refused("megatron,1,0,0.9,1,1.1,0,x\n", "any,1,0");
}

TEST(Plots, ShowWhatTheyAreGiven) {
  const std::string dots =
      scatter_svg({.x = "days", .y = "USD", .log = true}, {{"a<b", {{1, 10, "one & two"}, {100, 2, "x"}}}});
  EXPECT_THAT(dots, testing::AllOf(HasSubstr("a&lt;b"), HasSubstr("one &amp; two"), HasSubstr("<circle")));
  const std::string bars = bars_svg("GB", {"p", "q"}, {{"r1", {1, 2}}, {"r2", {0, 3}}}, 4);
  EXPECT_EQ(std::count(bars.begin(), bars.end(), '%'), 0);
  EXPECT_THAT(bars, HasSubstr("stroke-dasharray"));
  EXPECT_THAT(waterfall_svg("s", 2, {{"up", 1}, {"down", -2}}, 1), testing::AllOf(HasSubstr("up"), HasSubstr("-2")));
  EXPECT_THAT(scatter_svg({}, {}), HasSubstr("nothing to show"));
}

}  // namespace
}  // namespace shardscope
