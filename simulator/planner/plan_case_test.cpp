#include "simulator/planner/plan_case.h"

#include <gmock/gmock.h>

#include "core/error.h"
#include "core/spec/model_catalog.h"
#include "simulator/planner/files.h"
#include "simulator/planner/plan_text.h"
#include "simulator/planner/whatif.h"

namespace shardscope {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::Property;
using testing::Throws;

class PlanCaseTest : public testing::Test {
 protected:
  PlanCaseTest() : catalog(default_catalog()) {
    c.model = "llama-3-8b";
    c.workload.model = find_model(c.model);
    c.workload.seq = 8192;
    c.target = target_of(catalog, find_system(catalog, "dgx-h100"));
    c.framework = find_framework(default_frameworks(), "deepspeed");
    c.plan = {.gpus = 16,
              .dp = 4,
              .tp = 2,
              .pp = 2,
              .zero = 1,
              .recompute = Recompute::kFull,
              .micro_batch = 2,
              .global_batch = 64};
  }
  double change_of(const std::vector<std::string>& settings) const {
    PlanCase changed = c;
    apply_settings(changed, settings, catalog);
    return estimate_case(changed).step_time_s / estimate_case(c).step_time_s;
  }
  HardwareCatalog catalog;
  PlanCase c;
};

TEST_F(PlanCaseTest, JsonGivesTheSamePlanBack) {
  c.plan.sp = true;
  const std::string text = plan_case_json(c).dump();
  EXPECT_TRUE(is_plan_case(text, "plan.json"));
  const PlanCase again = parse_plan_case(text, "plan.json", 0, catalog);
  EXPECT_EQ(plan_case_json(again), plan_case_json(c));
  EXPECT_EQ(estimate_case(again).step_time_s, estimate_case(c).step_time_s);
}

TEST_F(PlanCaseTest, PointsOfAFrontAreByNumber) {
  const std::string text = R"({"pareto":[)" + plan_case_json(c).dump() + "]}";
  EXPECT_EQ(parse_plan_case(text, "plan.json", 0, catalog).plan.tp, 2);
  EXPECT_EQ(parse_plan_case(text, "plan.json", -1, catalog).plan.tp, 2);
  EXPECT_THAT([&] { parse_plan_case(text, "plan.json", 1, catalog); },
              Throws<Error>(Property(&Error::what, HasSubstr("1 points"))));
}

// The files of a plan are read by our own readers, and give the same plan.
TEST_F(PlanCaseTest, FilesAreTheSamePlan) {
  for (const bool offload : {false, true}) {
    if (offload) c.plan.pp = 1, c.plan.dp = 8, c.plan.zero = 3, c.plan.offload = Offload::kParametersNvme;
    const std::string folder = testing::TempDir() + "plan_files";
    write_files(folder, plan_files(c, 1e12));
    const Job job = load_job(folder + "/job.json", {});
    PlanCase again = plan_case_of(job, catalog);
    EXPECT_EQ(again.workload.seq, c.workload.seq);
    again.framework = c.framework;
    again.model = c.model;
    EXPECT_EQ(plan_case_json(again), plan_case_json(c));
  }
}

TEST_F(PlanCaseTest, FilesOfAPlanInFp8TurnItOn) {
  c.workload.arithmetic = Arithmetic::kFp8;
  const std::string folder = testing::TempDir() + "plan_files_fp8";
  write_files(folder, plan_files(c, 1e12));
  const Job job = load_job(folder + "/job.json", {});
  EXPECT_TRUE(job.fp8.enabled);
  EXPECT_EQ(job.training.precision.kind, Precision::kBf16);
  EXPECT_EQ(plan_case_of(job, catalog).workload.arithmetic, Arithmetic::kFp8);
}

TEST_F(PlanCaseTest, MegatronsArgumentsSayTheModelAndTheLayout) {
  c.plan.vpp = 2;
  const std::string text = megatron_arguments(c, 64.0 * 8192 * 100);
  for (const char* line :
       {"--num-layers 32\n", "--hidden-size 4096\n", "--num-query-groups 8\n", "--swiglu\n",
        "--tensor-model-parallel-size 2\n", "--num-layers-per-virtual-pipeline-stage 8\n", "--train-iters 100\n",
        "--use-distributed-optimizer\n", "--recompute-granularity full\n", "--global-batch-size 64\n", "--bf16\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST_F(PlanCaseTest, MegatronsEndsCountAsLayersWhereTheRestIsUneven) {
  c.workload.model.layers = 126;
  c.plan.pp = 16, c.plan.vpp = 4;
  const std::string text = megatron_arguments(c, 1e12);
  for (const char* line : {"--num-layers 126\n", "--account-for-embedding-in-pipeline-split\n",
                           "--account-for-loss-in-pipeline-split\n", "--num-layers-per-virtual-pipeline-stage 2\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST_F(PlanCaseTest, ReplicasOfShardGroupsAreTorchtitans) {
  c.plan = {.gpus = 32, .dp = 32, .zero = 3, .shard = 8, .micro_batch = 1, .global_batch = 64};
  const std::string text = torchtitan_text(c, 1e9);
  EXPECT_THAT(text, HasSubstr("data_parallel_replicate_degree = 4\ndata_parallel_shard_degree = 8\n"));
}

TEST_F(PlanCaseTest, SettingsChangeWhatTheyName) {
  EXPECT_LT(change_of({"gpu=b200"}), 0.8);
  EXPECT_GT(change_of({"links.nvlink_gb_per_s=20"}), 1.01);
  EXPECT_LT(change_of({"recompute=none"}), 0.95);
  PlanCase changed = c;
  apply_settings(changed, {"tp=4", "zero.stage=0", "gpu.memory_gib=40", "gpu.memory_gb_per_s=1000"}, catalog);
  EXPECT_EQ(changed.plan.dp, 2);  // GPUs stay
  EXPECT_EQ(changed.plan.zero, 0);
  EXPECT_EQ(changed.target.gpu.memory.value, 40.0 * (1 << 30));
  EXPECT_EQ(changed.target.gpu.memory_bandwidth.value, 1e12);
  changed = c;
  apply_settings(changed, {"gpus=32"}, catalog);
  EXPECT_EQ(changed.plan.dp, 8);
  changed = c;
  apply_settings(changed, {"dp=16"}, catalog);
  EXPECT_EQ(changed.plan.gpus, 64);
}

TEST_F(PlanCaseTest, ZeroPlusPlusIsSetKeptAndWritten) {
  c.plan = {.gpus = 32, .dp = 32, .zero = 3, .micro_batch = 1, .global_batch = 64};
  EXPECT_THAT(plan_case_json(c).dump(), Not(HasSubstr("hpz")));
  apply_settings(c, {"zero.hpz=8", "zero.quantized_weights=true", "zero.quantized_gradients=1"}, catalog);
  EXPECT_EQ(c.plan.hpz, 8);
  EXPECT_EQ(parse_plan_case(plan_case_json(c).dump(), "plan.json", -1, catalog).plan, c.plan);
  EXPECT_EQ(zero_text(c.plan), "3 hpz 8 qwz qgz");
  const std::string folder = testing::TempDir() + "plan_files_zero_plus_plus";
  write_files(folder, plan_files(c, 1e12));
  const Job job = load_job(folder + "/job.json", {});
  const Plan plan = plan_case_of(job, catalog).plan;
  EXPECT_EQ(plan.hpz, 8);
  EXPECT_EQ(plan.shard, 0);  // the state stays over all ranks
  EXPECT_TRUE(plan.quantized_weights && plan.quantized_gradients);
  c.framework = find_framework(default_frameworks(), "megatron");
  EXPECT_THAT([&] { estimate_case(c); }, Throws<Error>(Property(&Error::what, HasSubstr("ZeRO++"))));
}

TEST_F(PlanCaseTest, SettingsThatMakeNoSenseAreRefused) {
  const auto refused = [&](const char* setting, const char* why) {
    EXPECT_THAT(
        [&] {
          PlanCase changed = c;
          apply_settings(changed, {setting}, catalog);
        },
        Throws<Error>(Property(&Error::what, HasSubstr(why))))
        << setting;
  };
  refused("zero.stag=3", "zero.stage");
  refused("zero.stage=4", "from 0 to 3");
  refused("micro_batch=1.5", "whole number");
  refused("parallel.tp=3", "not 16 GPUs");
  refused("gpu=h1000", "h100");
  refused("recompute=all", "selective");
  refused("links.nic_gbps=fast", "number");
  refused("seq", "KEY=VALUE");
  refused("parallel.dp=16777216", "GPUs");
  PlanCase changed = c;
  apply_settings(changed, {"micro_batch=5"}, catalog);
  EXPECT_THAT([&] { estimate_case(changed); }, Throws<Error>(Property(&Error::what, HasSubstr("micro-batch 5"))));
}

TEST_F(PlanCaseTest, WaterfallsSumToTheChange) {
  PlanCase changed = c;
  apply_settings(changed, {"gpu=a100-80-sxm", "micro_batch=4"}, catalog);
  const Estimate from = estimate_case(c), to = estimate_case(changed);
  const Waterfall w = make_waterfall(from, to);
  double sum = w.from + w.rest;
  for (const WaterfallStep& s : w.steps) sum += s.change();
  EXPECT_NEAR(sum, to.step_time_s, 1e-9);
  EXPECT_NEAR(w.rest, 0, 0.02 * from.step_time_s);
  EXPECT_THAT(waterfall_text(w), HasSubstr("matrix products"));
}

}  // namespace
}  // namespace shardscope
