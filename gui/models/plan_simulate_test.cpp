#include "gui/models/plan_simulate.h"

#include <gtest/gtest.h>

#include <QTemporaryDir>

#include "core/error.h"
#include "gui/models/plan_result.h"
#include "profiler/query/list_runs.h"
#include "profiler/query/timeline.h"

namespace shardscope::gui {
namespace {

PlanCase case_for_test(const PlanKey& key) {
  PlanState state;
  state.inputs.model = "gpt2", state.inputs.seq = 512, state.inputs.global_batch = 64, state.inputs.tokens = 1e9;
  state.inputs.max_gpus = 64;
  state.chosen = key;
  const HardwareCatalog catalog = default_catalog();
  const PlanResult result = evaluate(state, catalog, {.survey = false});
  return case_of(result, *chosen_dot(result, state), state.inputs);
}

TEST(PlanSimulate, APlanBecomesARunToLookAt) {
  const QTemporaryDir folder;
  const PlanCase c =
      case_for_test({"dgx-h100", "megatron", {.gpus = 16, .dp = 4, .tp = 2, .pp = 2, .zero = 1, .micro_batch = 2}});
  std::vector<double> said;
  const SimulatedPlan run = simulate_plan(c, 1e9, default_catalog(), folder.path().toStdString(), [&](double done) {
    said.push_back(done);
    return true;
  });
  EXPECT_GT(run.step_time_s, 0);
  EXPECT_EQ(run.micro_batches, 0);
  EXPECT_GE(said.size(), 2U);
  const Profile profile(run.path);
  const std::vector<RunRow> runs = list_runs(profile);
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_TRUE(runs[0].predicted);
  EXPECT_EQ(runs[0].world, 16);
  EXPECT_EQ(runs[0].zero_stage, 1);
  EXPECT_NE(runs[0].name.find("16 x h100-sxm"), std::string::npos) << runs[0].name;
  const Timeline timeline(profile, runs[0].id);
  EXPECT_FALSE(timeline.tracks().empty());
  EXPECT_NEAR(static_cast<double>(timeline.extent().length()) * 1e-9, run.step_time_s, 0.01 * run.step_time_s);
}

TEST(PlanSimulate, AnInterleavedPipelineTakesWholeRounds) {
  const QTemporaryDir folder;
  PlanCase c = case_for_test({"dgx-h100", "megatron", {.gpus = 8, .dp = 4, .pp = 2, .zero = 1, .micro_batch = 2}});
  c.plan.vpp = 2, c.plan.schedule = PipelineSchedule::kInterleaved;
  c.plan.global_batch = 4 * 2 * 7;
  const SimulatedPlan run =
      simulate_plan(c, 1e9, default_catalog(), folder.path().toStdString(), [](double) { return true; });
  EXPECT_EQ(run.micro_batches, 6);
  EXPECT_GT(run.step_time_s, 0);
}

TEST(PlanSimulate, TheSamePlanAgainReplacesItself) {
  const QTemporaryDir folder;
  const PlanCase c = case_for_test({"dgx-h100", "deepspeed", {.gpus = 8, .dp = 8, .zero = 3, .micro_batch = 1}});
  const auto go = [](double) { return true; };
  const std::string place = folder.path().toStdString();
  const std::string path = simulate_plan(c, 1e9, default_catalog(), place, go).path;
  EXPECT_EQ(simulate_plan(c, 1e9, default_catalog(), place, go).path, path);
  EXPECT_EQ(list_runs(Profile(path)).size(), 1U);
}

TEST(PlanSimulate, StopsAndSaysWhatCannotBe) {
  const QTemporaryDir folder;
  const PlanCase c = case_for_test({"dgx-h100", "megatron", {.gpus = 8, .dp = 8, .zero = 1, .micro_batch = 1}});
  const std::string place = folder.path().toStdString();
  EXPECT_THROW(simulate_plan(c, 1e9, default_catalog(), place, [](double) { return false; }), Error);
  EXPECT_THROW(simulate_plan(c, 1e9, default_catalog(), "/proc/none", [](double) { return true; }), Error);
}

}  // namespace
}  // namespace shardscope::gui
