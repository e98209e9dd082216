#include "simulator/planner/run.h"

#include <gtest/gtest.h>

#include <cmath>

namespace shardscope {
namespace {

Target h100s() {
  Target target;
  target.gpu.tdp_watts = 700;
  target.system.gpus_per_node = 8;
  target.system.node_watts = 4000;
  return target;
}

Workload workload_of(std::int64_t seq) {
  Workload workload;
  workload.model = {.name = "m",
                    .vocab_size = 128256,
                    .hidden = 16384,
                    .layers = 126,
                    .heads = 128,
                    .kv_heads = 8,
                    .head_dim = 128,
                    .intermediate = 53248,
                    .norm = NormKind::kRmsNorm,
                    .mlp = MlpKind::kSwiGlu,
                    .positions = PositionKind::kRope,
                    .tied_embeddings = false,
                    .qkv_bias = false,
                    .attention_out_bias = false,
                    .mlp_bias = false};
  workload.model.family = ModelFamily::kLlama;
  workload.seq = seq;
  return workload;
}

Estimate steps_of(double seconds) {
  Estimate e;
  e.step_time_s = seconds;
  e[TimeTerm::kMatmul] = seconds / 2;
  return e;
}

// Llama 3 405B on 16,384 H100 lost a job every 3.1 hours, and still trained more than 90 % of the time
// (arXiv 2407.21783, section 3.3.4).
TEST(Run, Llama3TrainsMoreThanNineTenthsOfTheTime) {
  const RunCost run = run_cost({.tokens = 15.6e12}, workload_of(8192), h100s(),
                               Plan{.gpus = 16384, .dp = 128, .tp = 8, .pp = 16, .global_batch = 2048}, steps_of(10));
  EXPECT_GT(run.goodput, 0.90);
  EXPECT_LT(run.goodput, 0.97);
  EXPECT_NEAR(RunOptions{}.gpu_mtbf_hours / 16384, 3.1, 0.05);
}

TEST(Run, GoodputFollowsYoungWhereFailuresAreRare) {
  const double c = 10, m = 1e6;
  const Goodput g = daly_goodput(c, 0, m);
  EXPECT_NEAR(g.checkpoint_every_s, std::sqrt(2 * c * m), 0.01 * std::sqrt(2 * c * m));
  EXPECT_NEAR(1 - g.part, std::sqrt(2 * c / m), 0.05 * std::sqrt(2 * c / m));  // C/tau + tau/2M at the optimum
}

TEST(Run, NoOtherIntervalIsBetterThanDalys) {
  const double c = 60, r = 300, m = 8000;
  const Goodput best = daly_goodput(c, r, m);
  for (double every = 100; every < 8000; every *= 1.05) {
    const double wall_per_work = m * std::exp(r / m) * std::expm1((every + c) / m) / every;
    EXPECT_LE(1 / wall_per_work, best.part * 1.001) << every;
  }
}

TEST(Run, TheLastOfManyRanksIsLater) {
  EXPECT_EQ(mean_of_largest(1), 0);
  EXPECT_NEAR(mean_of_largest(2), 0.5642, 0.03);   // 1/sqrt(pi)
  EXPECT_NEAR(mean_of_largest(10), 1.5388, 0.01);  // tables of normal order statistics
  EXPECT_NEAR(mean_of_largest(100), 2.5076, 0.01);
}

TEST(Run, DaysCostAndEnergyAreThoseOfTheStep) {
  RunOptions options{.tokens = 8192.0 * 2048 * 1000, .usd_per_gpu_hour = 2, .pue = 1.5};
  options.jitter = 0;
  options.gpu_mtbf_hours = 1e12;
  const RunCost run =
      run_cost(options, workload_of(8192), h100s(), Plan{.gpus = 16, .global_batch = 2048}, steps_of(36));
  EXPECT_EQ(run.steps, 1000);
  EXPECT_NEAR(run.days * 24, 10, 1e-3);
  EXPECT_NEAR(run.cost_usd, 16 * 10 * 2, 0.1);
  EXPECT_NEAR(run.mean_kw, 1.5 * 16 * (700 * (0.45 + 0.55 * 0.5) + 500) / 1e3, 1e-9);
  EXPECT_NEAR(run.energy_kwh, run.mean_kw * 10, 0.1);
}

}  // namespace
}  // namespace shardscope
