#include "simulator/analytic/zero_plus_plus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/spec/model_catalog.h"
#include "simulator/analytic/estimate.h"
#include "simulator/analytic/estimate_notes.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

constexpr double kElements = 1e9, kScale = 4.0 / 2048;

/// 32 GPUs of four nodes.
class ZeroPlusPlusTest : public testing::Test {
 protected:
  ShardMoves moves() const { return {network, gpu, framework, plan, shard_groups(plan, framework, {32, 1}, 8)}; }
  Estimate estimate() const {
    Workload w;
    w.model = find_model("llama-2-7b"), w.seq = 2048;
    return Estimator(w, target, framework).estimate(plan);
  }

  Target target = target_of(default_catalog(), "dgx-h100");
  GpuModel gpu{target.gpu, device_constants(default_constants(), target.gpu)};
  NetworkModel network{target, gpu.constants(), fabric_constants(default_constants(), target.fabric.name), 0};
  FrameworkSpec framework = find_framework(default_frameworks(), "shardscope");
  Plan plan{.gpus = 32, .dp = 32, .zero = 3, .global_batch = 32};
};

TEST_F(ZeroPlusPlusTest, WithoutItPartsAreGatheredAndScattered) {
  EXPECT_DOUBLE_EQ(moves().gather(kElements, {32, 1}).seconds, network.all_gather(2e9, {32, 1}));
  EXPECT_DOUBLE_EQ(moves().regather(kElements).seconds, network.all_gather(2e9, {32, 1}));
  EXPECT_DOUBLE_EQ(moves().reduce(kElements).seconds, network.reduce_scatter(2e9, {32, 1}));
  EXPECT_EQ(moves().keep(kElements), 0);
  EXPECT_EQ(moves().unpack(kElements), 0);
}

TEST_F(ZeroPlusPlusTest, BackwardGathersInsideTheNode) {
  plan.hpz = 8;
  const Moved back = moves().regather(kElements);
  EXPECT_DOUBLE_EQ(back.seconds, network.all_gather(2e9, {8, 1}));
  EXPECT_EQ(back.nics, 0);
  EXPECT_GT(moves().gather(kElements, {32, 1}).nics, 0);
  EXPECT_DOUBLE_EQ(moves().keep(kElements), gpu.traffic(2 * 2e9 / 8));
}

TEST_F(ZeroPlusPlusTest, WeightsTravelInInt8WithTheirScales) {
  plan.quantized_weights = true;
  const double packed = 1 + kScale;
  EXPECT_NEAR(moves().gather(kElements, {32, 1}).seconds,
              gpu.traffic(kElements / 32 * (2 + packed)) + network.all_gather(1e9, {32, 1}) +
                  network.all_gather(1e9 * kScale, {32, 1}) + gpu.traffic(kElements * (2 + packed)),
              1e-9);
  EXPECT_DOUBLE_EQ(moves().unpack(kElements), gpu.traffic(kElements * (2 + packed)));
  EXPECT_DOUBLE_EQ(gather_buffer_bytes(plan, kElements), kElements * packed);
  EXPECT_EQ(moves().gather(kElements, {1, 1}).seconds, 0);  // whole already
}

TEST_F(ZeroPlusPlusTest, GradientsTravelInInt4InTwoHopsWhereHpzSaysWhatIsNear) {
  plan.quantized_gradients = true;
  const auto hop = [&](double elements, Placement group) {
    return gpu.traffic(elements * (2 + 0.5 + kScale)) + network.all_to_all(elements / 2, group) +
           network.all_to_all(elements * kScale, group) + gpu.traffic(elements * (0.5 + kScale + 2 / group.ranks));
  };
  EXPECT_NEAR(moves().reduce(kElements).seconds, hop(kElements, {32, 1}), 1e-9);
  EXPECT_DOUBLE_EQ(moves().pack(kElements), gpu.traffic(kElements * (2.5 + kScale)));
  plan.hpz = 8;
  EXPECT_NEAR(moves().reduce(kElements).seconds,
              8 * gpu.traffic(kElements / 8 * 4) + hop(kElements, {8, 1}) + hop(kElements / 8, {4, 8}), 1e-9);
  EXPECT_DOUBLE_EQ(moves().pack(kElements), 8 * gpu.traffic(kElements / 8 * 4));
  EXPECT_DOUBLE_EQ(reduce_buffer_bytes(plan, framework, kElements, true), kElements * (1 + kScale + 2));
  framework = find_framework(default_frameworks(), "deepspeed");  // quantises in that order at once, by nodes
  plan.hpz = 1;
  EXPECT_NEAR(moves().reduce(kElements).seconds, hop(kElements, {8, 1}) + hop(kElements / 8, {4, 8}), 1e-9);
}

TEST_F(ZeroPlusPlusTest, HpzTradesMemoryForTime) {
  target.system.nic_bandwidth = target.fabric.bandwidth = BytesPerSecond(5e9);
  for (const char* name : {"shardscope", "deepspeed"}) {
    framework = find_framework(default_frameworks(), name);
    plan.hpz = 1;
    const Estimate plain = estimate();
    plan.hpz = 8;
    const Estimate copies = estimate();
    EXPECT_LT(copies[TimeTerm::kData], 0.9 * plain[TimeTerm::kData]) << name;
    EXPECT_EQ(copies[MemoryTerm::kOptimizer], plain[MemoryTerm::kOptimizer]) << name;  // still over all ranks
    EXPECT_EQ(copies[MemoryTerm::kParameters], plain[MemoryTerm::kParameters]) << name;
    EXPECT_GT(copies.allocated, plain.allocated + 6.0e9 * 2 / 8) << name;
    EXPECT_LT(copies.allocated, plain.allocated + 6.8e9 * 2 / 8) << name;
  }
}

TEST_F(ZeroPlusPlusTest, WhatItCannotBeIsSaid) {
  plan.hpz = 5;
  EXPECT_THAT(find_zero_plus_plus_problem(plan), HasSubstr("hpz 5 does not divide the 32 data-parallel ranks"));
  plan.hpz = 8, plan.shard = 8;
  EXPECT_THAT(find_zero_plus_plus_problem(plan), HasSubstr("use one of them"));
  plan.shard = 0, plan.zero = 2;
  EXPECT_THAT(find_zero_plus_plus_problem(plan), HasSubstr("need ZeRO-3"));
  plan.zero = 3;
  EXPECT_EQ(find_zero_plus_plus_problem(plan), "");
  EXPECT_EQ(find_framework_problem(framework, plan), "");
  EXPECT_THAT(find_framework_problem(find_framework(default_frameworks(), "fsdp2"), plan), HasSubstr("fsdp2: "));
}

}  // namespace
}  // namespace shardscope
