#include "simulator/planner/search.h"

#include <gtest/gtest.h>

#include <tuple>

#include "simulator/planner/planner_fixture_for_test.h"

namespace shardscope {
namespace {

using Key = std::tuple<std::size_t, double, double, double, int>;
std::vector<Key> keys_of(const SearchResult& r) {
  std::vector<Key> keys;
  for (const PlanPoint& p : r.pareto) {
    keys.emplace_back(p.candidate, p.run.days, p.run.cost_usd, p.run.energy_kwh, p.comfort);
  }
  return keys;
}

SearchRequest small_request() {
  SearchRequest request;
  request.candidates = {candidate_for_test("llama-2-7b", 4096, "dgx-h100", "shardscope"),
                        candidate_for_test("llama-2-7b", 4096, "dgx-a100", "megatron")};
  request.max_gpus = 16;
  request.global_batch = 64;
  return request;
}

TEST(Search, BoundsDoNotChangeTheFront) {
  SearchRequest request = small_request();
  const SearchResult bounded = search(request);
  request.bounds = false;
  const SearchResult all = search(request);
  ASSERT_FALSE(all.pareto.empty());
  EXPECT_EQ(keys_of(bounded), keys_of(all));
  EXPECT_EQ(bounded.searched, all.searched);
  EXPECT_EQ(all.estimated, all.searched);
  EXPECT_LT(bounded.estimated, all.estimated * 2 / 5);
}

TEST(Search, NothingOnTheFrontIsBeaten) {
  const SearchResult r = search(small_request());
  for (const PlanPoint& a : r.pareto) {
    for (const PlanPoint& b : r.pareto) {
      if (&a != &b) {
        EXPECT_FALSE(dominates(a, b));
      }
    }
  }
}

TEST(Search, ThreadsDoNotChangeTheResult) {
  SearchRequest request = small_request();
  request.threads = 1;
  const SearchResult one = search(request);
  request.threads = 4;
  const SearchResult four = search(request);
  EXPECT_EQ(keys_of(one), keys_of(four));
  EXPECT_EQ(one.searched, four.searched);
  EXPECT_EQ(one.estimated, four.estimated);
}

TEST(Search, BestPointsAreOnTheFront) {
  const SearchResult r = search(small_request());
  const PlanPoint* fast = best_point(r.pareto, Objective::kTime);
  const PlanPoint* cheap = best_point(r.pareto, Objective::kCost);
  ASSERT_NE(fast, nullptr);
  ASSERT_NE(cheap, nullptr);
  for (const PlanPoint& p : r.pareto) {
    EXPECT_GE(p.run.days, fast->run.days);
    EXPECT_GE(p.run.cost_usd, cheap->run.cost_usd);
  }
  EXPECT_EQ(best_point(r.pareto, Objective::kTime, [](const PlanPoint&) { return false; }), nullptr);
}

TEST(Search, TheRecommendedIsAsGoodAsTheBestAndElseTheFastest) {
  const auto point = [](double days, double cost, int comfort) {
    PlanPoint p;
    p.run.days = days, p.run.cost_usd = cost, p.comfort = comfort;
    return p;
  };
  const std::vector<PlanPoint> points{point(1, 200, 2), point(5, 104, 2), point(20, 100, 2), point(40, 90, 0)};
  EXPECT_EQ(recommended_point(points, Objective::kCost), &points[1]);  // 90 has no room; 104 is within 5 % of 100
  EXPECT_EQ(recommended_point(points, Objective::kTime), &points[0]);
  const std::vector<PlanPoint> tight{points[3]};
  EXPECT_EQ(recommended_point(tight, Objective::kCost), tight.data());
  EXPECT_EQ(recommended_point({}, Objective::kCost), nullptr);
}

TEST(Search, StopsWhenTold) {
  SearchRequest request = small_request();
  request.progress = [](const SearchProgress&) { return false; };
  const SearchResult stopped = search(request);
  EXPECT_TRUE(stopped.cancelled);
  request.progress = {};
  EXPECT_LT(stopped.searched, search(request).searched);
}

TEST(Search, SaysWhatWasNearestWhereNothingFits) {
  SearchRequest request;
  request.candidates = {candidate_for_test("bloom", 2048, "rtx-4090-server", "megatron")};
  request.max_gpus = 8;
  request.global_batch = 8;
  const SearchResult r = search(request);
  EXPECT_TRUE(r.pareto.empty());
  ASSERT_TRUE(r.nearest.has_value());
  EXPECT_GT(r.nearest->estimate.used, request.candidates[0].target.gpu.memory.value);
}

TEST(Search, OneSizeOfMicroBatchIsSearchedWithAndWithoutBounds) {
  SearchRequest request;
  request.candidates = {candidate_for_test("llama-2-7b", 4096, "dgx-h100", "deepspeed")};
  request.candidates[0].limits.only_micro_batch = 2;
  request.max_gpus = 16;
  request.global_batch = 64;
  const SearchResult with = search(request);
  request.bounds = false;
  const SearchResult without = search(request);
  ASSERT_FALSE(with.pareto.empty());
  ASSERT_EQ(with.pareto.size(), without.pareto.size());
  for (std::size_t i = 0; i < with.pareto.size(); ++i) {
    EXPECT_EQ(with.pareto[i].plan.micro_batch, 2);
    EXPECT_EQ(with.pareto[i].run.days, without.pareto[i].run.days);
  }
}

}  // namespace
}  // namespace shardscope
