#include "simulator/analytic/explain.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "core/error.h"
#include "core/spec/model_catalog.h"

namespace shardscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Property;
using testing::Throws;

class ExplainTest : public testing::Test {
 protected:
  ExplainTest() : target(target_of(default_catalog(), "dgx-h100")) {
    workload.model = find_model("llama-2-7b");
    workload.seq = 4096;
  }
  Explanation run() const { return explain(workload, target, find_framework(default_frameworks(), framework), plan); }

  std::string text(TimeTerm term) const {
    for (const ExplainedTime& p : run().time)
      if (p.term == term) return p.text;
    return "no such term";
  }
  std::string text(MemoryTerm term) const {
    for (const ExplainedMemory& p : run().memory)
      if (p.term == term) return p.text;
    return "no such term";
  }
  Sensitivity sensitivity(std::string_view name) const {
    for (const Sensitivity& s : run().sensitivities)
      if (s.name == name) return s;
    throw std::runtime_error("no such sensitivity");
  }
  void refused(const char* why) const {
    EXPECT_THAT([&] { run(); }, Throws<Error>(AllOf(Property(&Error::kind, ErrorKind::kConfig),
                                                    Property(&Error::what, HasSubstr(why)))));
  }

  Workload workload;
  Target target;
  std::string framework = "megatron";
  Plan plan{.gpus = 64, .dp = 64, .zero = 1, .micro_batch = 1, .global_batch = 512};
};

TEST_F(ExplainTest, TermsOfTimeHaveTheNumbersThatMakeThem) {
  EXPECT_THAT(text(TimeTerm::kMatmul),
              AllOf(HasSubstr("32 blocks x "), HasSubstr(" of embedding and head, x 8 micro-batches; "),
                    HasSubstr(" % of the bf16 peak of 989 TFLOP/s")));
  EXPECT_THAT(text(TimeTerm::kAttention), HasSubstr("32 heads of a rank, 4096 keys"));
  // 6.74 G gradients of 4 bytes, parameters of 2.
  EXPECT_THAT(text(TimeTerm::kData), AllOf(HasSubstr("reduce-scatter of gradients of 27 GB over 64 ranks at "),
                                           HasSubstr("all-gather of parameters of 13.5 GB over 64 ranks"),
                                           HasSubstr(" % hidden behind compute")));
  EXPECT_THAT(text(TimeTerm::kOptimizer), HasSubstr("105 M parameters of the rank x 34 bytes"));
}

TEST_F(ExplainTest, APipelineSaysWhoWaits) {
  plan = {.gpus = 64, .dp = 4, .tp = 4, .pp = 4, .sp = true, .zero = 1, .micro_batch = 1, .global_batch = 64};
  EXPECT_THAT(text(TimeTerm::kBubble),
              AllOf(HasSubstr("1f1b: one micro-batch in 3 other stages"), HasSubstr("16 micro-batches")));
  EXPECT_THAT(text(TimeTerm::kTensor),
              AllOf(HasSubstr("reduce-scatter of 33.6 MB over 4 ranks"), HasSubstr("none of it hidden")));
  EXPECT_THAT(text(MemoryTerm::kActivations), HasSubstr("4 micro-batches at once x (8 blocks x "));
}

// What each rank of a tensor-parallel group costs the host shows only in pipelines between nodes.
TEST_F(ExplainTest, ARankCostsTheHostOnlyInPipelinesThatLeaveTheirNode) {
  framework = "nanotron";
  const auto host = [&](int dp) {
    plan = {.gpus = 8 * dp, .dp = dp, .tp = 4, .pp = 2, .sp = true, .micro_batch = 1, .global_batch = 64 * dp};
    return Estimator(workload, target, find_framework(default_frameworks(), framework)).estimate(plan)[TimeTerm::kHost];
  };
  EXPECT_GT(host(2), 5 * host(1));  // the same stages and micro-batches, on 16 GPUs and on 8
}

TEST_F(ExplainTest, NanotronCopiesWhatItGathersRankByRank) {
  framework = "nanotron";
  EXPECT_THAT(text(TimeTerm::kData), HasSubstr("copies"));
}

TEST_F(ExplainTest, TermsOfMemoryAreFormulas) {
  EXPECT_EQ(text(MemoryTerm::kOptimizer), "6.74 G parameters x 12 bytes / 64 ranks");
  EXPECT_EQ(text(MemoryTerm::kParameters), "6.74 G parameters x 2 bytes");
  plan.zero = 3;
  EXPECT_EQ(text(MemoryTerm::kParameters), "6.74 G parameters x 2 bytes / 64 ranks");
  EXPECT_THAT(text(MemoryTerm::kGathered), HasSubstr("2 whole blocks of 202 M parameters x 2 bytes"));
}

TEST_F(ExplainTest, ConstantsAreTheOnesInUse) {
  const Constants used = run().constants;
  const auto of = [&](std::string_view scope, std::string_view name) {
    return *std::find_if(used.begin(), used.end(),
                         [&](const Constant& c) { return c.scope == scope && c.name == name; });
  };
  const DeviceConstants device = device_constants(default_constants(), target.gpu);
  EXPECT_EQ(of("device", "matmul_efficiency").value, device.matmul_efficiency);
  EXPECT_EQ(of("device", "matmul_efficiency").owner, "hopper");
  EXPECT_EQ(of("framework", "traffic").owner, "megatron");
  EXPECT_EQ(of("framework", "host_us").owner, "any");
  for (const Constant& c : used) EXPECT_FALSE(c.source.empty());
}

TEST_F(ExplainTest, SensitivitiesSayWhatTheStepHangsOn) {
  const Sensitivity peak = sensitivity("+10 % peak FLOP/s");
  EXPECT_LT(peak.change, -0.05);
  EXPECT_GT(peak.change, -1 + 1 / 1.1);
  EXPECT_EQ(sensitivity("+10 % PCIe").change, 0);
  EXPECT_THAT(sensitivity("+10 % PCIe").why, HasSubstr("to the host"));
  EXPECT_TRUE(sensitivity("micro-batch x 2").legal);
  plan.global_batch = 64;
  EXPECT_FALSE(sensitivity("micro-batch x 2").legal);
  EXPECT_THAT(sensitivity("micro-batch x 2").why, HasSubstr("global batch 64"));
}

TEST_F(ExplainTest, WhatMeansNothingIsRefused) {
  plan.gpus = 32;
  refused("cannot estimate this: dp 64");
  plan.gpus = 64;
  workload.model.layers = 0;
  refused("has 0 layers");
  workload.model.layers = 32;
  for (FlopPerSecond& peak : target.gpu.peak) peak = FlopPerSecond(0);
  target.gpu.vector_fp32 = FlopPerSecond(0);
  refused("rate of the hardware must be missing");
}

TEST_F(ExplainTest, AStepThatHangsOnNothingIsRefused) {
  framework = "megatron";
  plan = {.gpus = 1};
  for (FlopPerSecond& peak : target.gpu.peak) peak = FlopPerSecond(1e30);
  target.gpu.memory_bandwidth = BytesPerSecond(1e30);
  FrameworkSpec graphs = find_framework(default_frameworks(), framework);
  graphs.graphs = true;  // nothing launched, nothing computed: only what a step costs anyway
  EXPECT_THAT([&] { explain(workload, target, graphs, plan); },
              Throws<Error>(Property(&Error::what, HasSubstr("neither faster devices"))));
}

}  // namespace
}  // namespace shardscope
