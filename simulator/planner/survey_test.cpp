#include "simulator/planner/survey.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "simulator/planner/planner_fixture_for_test.h"

namespace shardscope {
namespace {

SearchRequest request_for(const char* model, const char* framework, int max_gpus) {
  SearchRequest request;
  request.candidates = {candidate_for_test(model, 4096, "dgx-h100", framework)};
  request.max_gpus = max_gpus;
  request.global_batch = 64;
  return request;
}

TEST(Survey, HasEveryStageOfEveryCount) {
  const std::vector<SurveyPoint> points = survey(request_for("llama-2-7b", "deepspeed", 64), {.counts = 4});
  std::map<int, std::set<int>> stages;
  for (const SurveyPoint& p : points) stages[p.point.plan.gpus].insert(p.point.plan.zero);
  EXPECT_EQ(stages.size(), 4u);
  EXPECT_EQ(stages.begin()->first, 1);
  EXPECT_EQ(stages.rbegin()->first, 64);
  EXPECT_EQ(stages[64], (std::set<int>{0, 1, 2, 3}));
}

TEST(Survey, TheBestOfItsStagesIsTheSearchsFastest) {
  SearchRequest request = request_for("llama-2-7b", "deepspeed", 64);
  request.candidates[0].counts = {64};
  double fastest = 1e300;
  for (const SurveyPoint& p : survey(request, {})) {
    if (p.fits) fastest = std::min(fastest, p.point.estimate.step_time_s);
  }
  const SearchResult found = search(request);
  ASSERT_FALSE(found.pareto.empty());
  EXPECT_DOUBLE_EQ(fastest, found.pareto.front().estimate.step_time_s);
}

TEST(Survey, WhereNothingFitsItIsTheLeastMemory) {
  SearchRequest request = request_for("llama-3-70b", "megatron", 8);
  request.candidates[0].counts = {1};
  const std::vector<SurveyPoint> points = survey(request, {});
  ASSERT_FALSE(points.empty());
  for (const SurveyPoint& p : points) {
    EXPECT_FALSE(p.fits);
    EXPECT_EQ(p.point.plan.micro_batch, 1);
  }
}

TEST(Survey, StopsWhenAsked) {
  EXPECT_TRUE(survey(request_for("llama-2-7b", "deepspeed", 64), {.stop = [] { return true; }}).empty());
}

}  // namespace
}  // namespace shardscope
