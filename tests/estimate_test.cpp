#include "simulator/analytic/estimate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <numeric>
#include <span>

#include "core/spec/model_catalog.h"
#include "simulator/analytic/explain.h"
#include "simulator/analytic/memory_model.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

Target target_named(const char* system) { return target_of(default_catalog(), system); }

Workload workload_of(const char* model, std::int64_t seq) {
  Workload w;
  w.model = find_model(model);
  w.seq = seq;
  return w;
}

Estimator estimator(const char* model, std::int64_t seq, const char* system, const char* framework) {
  return {workload_of(model, seq), target_named(system), find_framework(default_frameworks(), framework)};
}

double sum(std::span<const double> parts) { return std::accumulate(parts.begin(), parts.end(), 0.0); }

TEST(Estimate, TermsSumToTheStepAndToWhatIsUsed) {
  Estimator e = estimator("llama-2-7b", 4096, "dgx-h100", "megatron");
  for (const Plan& plan :
       {Plan{.gpus = 64, .dp = 8, .tp = 8, .zero = 1, .micro_batch = 2, .global_batch = 128},
        Plan{.gpus = 64, .dp = 8, .tp = 2, .pp = 4, .vpp = 2, .sp = true, .zero = 1, .global_batch = 128},
        Plan{.gpus = 64, .dp = 64, .zero = 3, .recompute = Recompute::kFull, .global_batch = 128}}) {
    const Estimate got = e.estimate(plan);
    EXPECT_NEAR(sum(got.seconds), got.step_time_s, 1e-9 * got.step_time_s);
    EXPECT_NEAR(sum(got.bytes), got.used, 1e-6 * got.used);
    EXPECT_LT(got.allocated, got.reserved);
    EXPECT_LT(got.reserved, got.used);
  }
}

/// No step is faster than its products at the peak of the device.
RC_GTEST_PROP(Estimate, IsNeverBetterThanTheDevice, ()) {
  Estimator e = estimator("llama-2-7b", 2048, "dgx-a100-80", "megatron");
  Plan plan;
  plan.tp = *rc::gen::element(1, 2, 4, 8);
  plan.pp = *rc::gen::element(1, 2, 4, 8);
  plan.dp = *rc::gen::element(1, 2, 8, 32);
  plan.gpus = plan.tp * plan.pp * plan.dp;
  plan.sp = plan.tp > 1 && *rc::gen::arbitrary<bool>();
  plan.zero = *rc::gen::inRange(0, plan.pp > 1 ? 2 : 4);
  plan.recompute = *rc::gen::element(Recompute::kNone, Recompute::kSelective, Recompute::kFull);
  plan.micro_batch = *rc::gen::element(1, 2, 4);
  plan.global_batch = plan.micro_batch * plan.dp * *rc::gen::element(1, 4, 16);
  RC_ASSERT(find_plan_problem(e.workload(), e.target(), plan) == "");
  const Estimate got = e.estimate(plan);
  const double flops =
      training_flops_per_token(e.workload().model, 2048) * static_cast<double>(plan.global_batch) * 2048;
  RC_ASSERT(got.step_time_s >
            flops / plan.gpus / e.target().gpu.peak[static_cast<std::size_t>(Arithmetic::kBf16)].value);
  for (const double s : got.seconds) RC_ASSERT(s >= 0 && std::isfinite(s));
  for (const double b : got.bytes) RC_ASSERT(b >= 0 && std::isfinite(b));
}

/// What only makes the hardware better never makes a step longer.
RC_GTEST_PROP(Estimate, BetterLinksAreNeverSlower, ()) {
  const Plan plan = *rc::gen::element(Plan{.gpus = 64, .dp = 64, .zero = 3, .global_batch = 64},
                                      Plan{.gpus = 64, .dp = 8, .tp = 8, .sp = true, .zero = 1, .global_batch = 64},
                                      Plan{.gpus = 64, .dp = 16, .pp = 4, .zero = 1, .global_batch = 64});
  Target better = target_named("dgx-a100-80");
  const Workload w = workload_of("llama-2-7b", 2048);
  const FrameworkSpec& f = find_framework(default_frameworks(), "megatron");
  const double base = Estimator(w, better, f).estimate(plan).step_time_s;
  better.system.nic_bandwidth = better.system.nic_bandwidth * *rc::gen::element(1.0, 1.5, 4.0);
  better.gpu.scale_up.bandwidth = better.gpu.scale_up.bandwidth * *rc::gen::element(1.0, 2.0);
  better.gpu.memory_bandwidth = better.gpu.memory_bandwidth * *rc::gen::element(1.0, 2.0);
  RC_ASSERT(Estimator(w, better, f).estimate(plan).step_time_s <= base * (1 + 1e-12));
}

// Llama 2 7B, tp 2 with sp: 4096 tokens, 16000 logits of a rank each. Megatron's head hands autograd a gradient of its
// weight that nobody reads, beside the logits' gradient, the gathered input, and its gradient whole and summed.
TEST(Estimate, TheHeadsBackwardHoldsAGradientThatNobodyReads) {
  Estimator e = estimator("llama-2-7b", 4096, "dgx-h100", "megatron");
  const Estimate got = e.estimate({.gpus = 8, .dp = 4, .tp = 2, .sp = true, .zero = 1, .global_batch = 8});
  const double logits = 2 * 4096.0 * 16000, scratch = 2 * 16000.0 * 4096, rows = 2 * 4096.0 * (2 * 4096 + 2048),
               kept = 2 * 2 * 4096.0 * 2048;
  EXPECT_DOUBLE_EQ(got[MemoryTerm::kLogits], logits + scratch + rows + kept);
}

// Attention's result of each of 32 blocks, 4096 / 8 tokens of 4096 numbers, a second time.
TEST(Estimate, UlyssesOfTransformerEngineKeepsTheResultTwice) {
  const Plan plan{.gpus = 8, .dp = 1, .ulysses = 8, .zero = 1, .global_batch = 8};
  FrameworkSpec once = find_framework(default_frameworks(), "megatron");
  Estimator twice(workload_of("llama-2-7b", 4096), target_named("dgx-h100"), once);
  once.keeps_exchanged_result = false;
  Estimator plain(workload_of("llama-2-7b", 4096), target_named("dgx-h100"), once);
  EXPECT_DOUBLE_EQ(twice.estimate(plan)[MemoryTerm::kActivations] - plain.estimate(plan)[MemoryTerm::kActivations],
                   32 * 2 * 512.0 * 4096);
}

TEST(Estimate, StagesShareMoreAndMore) {
  Estimator e = estimator("llama-2-7b", 2048, "dgx-a100-80", "deepspeed");
  double last = 1e30;
  for (int stage = 0; stage <= 3; ++stage) {
    const Estimate got =
        e.estimate({.gpus = 64, .dp = 64, .zero = stage, .recompute = Recompute::kFull, .global_batch = 64});
    EXPECT_LT(got[MemoryTerm::kParameters] + got[MemoryTerm::kGradients] + got[MemoryTerm::kOptimizer], last);
    last = got[MemoryTerm::kParameters] + got[MemoryTerm::kGradients] + got[MemoryTerm::kOptimizer];
  }
}

TEST(Estimate, TheFullestExpertsMakeTheStep) {
  Workload w = workload_of("mixtral-8x7b-v0.1", 2048);
  const Plan plan{.gpus = 16, .dp = 16, .ep = 8, .zero = 1, .global_batch = 16};
  const auto of = [&](double imbalance) {
    w.expert_imbalance = imbalance;
    return Estimator(w, target_named("dgx-h100"), find_framework(default_frameworks(), "megatron")).estimate(plan);
  };
  const Estimate even = of(1), uneven = of(1.5);
  EXPECT_GT(uneven[TimeTerm::kMatmul], 1.2 * even[TimeTerm::kMatmul]);
  EXPECT_LT(uneven[TimeTerm::kMatmul], 1.5 * even[TimeTerm::kMatmul]);  // attention and head are the same
  EXPECT_EQ(uneven[TimeTerm::kAttention], even[TimeTerm::kAttention]);
  EXPECT_GT(uneven[MemoryTerm::kActivations], even[MemoryTerm::kActivations]);
  EXPECT_GT(uneven[TimeTerm::kExpert], even[TimeTerm::kExpert]);
}

/// MiCS and HSDP: a rank has, and updates, its part of its group's copy and not of all ranks'.
TEST(Estimate, TheUpdateWorksOnTheStateThatARankHas) {
  for (const char* framework : {"fsdp2", "deepspeed", "shardscope"}) {
    for (const Offload offload : {Offload::kNone, Offload::kOptimizer}) {
      Estimator e = estimator("llama-2-7b", 2048, "dgx-a100-80", framework);
      Plan plan{.gpus = 64, .dp = 64, .zero = 3, .offload = offload, .global_batch = 64};
      const TimeTerm update = offload == Offload::kNone ? TimeTerm::kOptimizer : TimeTerm::kOffload;
      const double over_all = e.estimate(plan)[update];
      plan.shard = 8;
      EXPECT_NEAR(e.estimate(plan)[update] / over_all, 8, 0.1) << framework;
    }
  }
}

TEST(Estimate, TheModelsParametersAreAllThere) {
  for (const char* name : {"llama-2-7b", "gpt2-xl", "mixtral-8x7b-v0.1", "deepseek-v3", "qwen3-30b-a3b"}) {
    const Workload w = workload_of(name, 1024);
    const Target t = target_named("dgx-h100");
    const GpuModel gpu(t.gpu, device_constants(default_constants(), t.gpu));
    const ModelCosts costs = compute_costs(w, find_framework(default_frameworks(), "megatron"), {}, gpu, {});
    const auto mixture = static_cast<double>(expert_blocks(w.model));
    const Stage all{static_cast<double>(w.model.layers) - mixture, mixture, true, true};
    const auto published = static_cast<double>(parameter_count(w.model));
    EXPECT_NEAR(parameters_of(costs, all, w.model).all() / published, 1, 2e-3) << name;  // biases are left out
  }
}

/// Formulas that are written out come to what was computed, whatever the plan and the framework.
RC_GTEST_PROP(Estimate, ExplanationsComeToTheEstimate, ()) {
  const char* model = *rc::gen::element("llama-2-7b", "gpt2-xl", "mixtral-8x7b-v0.1", "deepseek-v3");
  Workload w = workload_of(model, 1024);
  const Target t = target_named(*rc::gen::element("dgx-h100", "dgx-a100-80"));
  const FrameworkSpec f = *rc::gen::elementOf(default_frameworks());
  Plan p;
  p.tp = *rc::gen::element(1, 2, 4), p.sp = p.tp > 1 && *rc::gen::arbitrary<bool>();
  p.pp = *rc::gen::element(1, 2, 4), p.vpp = p.pp > 1 ? *rc::gen::element(1, 2) : 1;
  p.schedule = p.vpp > 1
                   ? PipelineSchedule::kInterleaved
                   : *rc::gen::element(PipelineSchedule::k1F1B, PipelineSchedule::kGpipe, PipelineSchedule::kZbH1);
  p.cp = *rc::gen::element(1, 2), p.ulysses = *rc::gen::element(1, 2);
  p.dp = *rc::gen::element(1, 2, 8);
  p.ep = w.model.experts > 0 && p.dp > 1 ? *rc::gen::element(1, 2) : 1;
  p.gpus = p.dp * p.tp * p.pp * p.cp * p.ulysses;
  p.zero = *rc::gen::inRange(0, p.pp > 1 ? 2 : 4);
  p.shard = p.dp == 8 ? *rc::gen::element(0, 4) : 0;
  if (p.zero == 3 && p.shard == 0 && f.zero_plus_plus) {
    p.hpz = p.dp == 8 ? *rc::gen::element(1, 4) : 1;
    p.quantized_weights = *rc::gen::arbitrary<bool>(), p.quantized_gradients = *rc::gen::arbitrary<bool>();
  }
  if (p.zero > 0) p.offload = *rc::gen::element(Offload::kNone, Offload::kOptimizer, Offload::kOptimizerNvme);
  if (p.zero == 3 && *rc::gen::arbitrary<bool>()) p.offload = Offload::kParametersNvme;
  p.recompute = *rc::gen::element(Recompute::kNone, Recompute::kSelective, Recompute::kFull);
  p.micro_batch = *rc::gen::element(1, 2);
  p.global_batch = p.micro_batch * p.dp * *rc::gen::element(1, 8);
  RC_PRE(find_plan_problem(w, t, p).empty());
  const Explanation e = explain(w, t, f, p);
  const Estimate plain = Estimator(w, t, f).estimate(p);
  RC_ASSERT(e.estimate.seconds == plain.seconds && e.estimate.bytes == plain.bytes);  // noting changes nothing
  double seconds = 0, bytes = 0;
  for (const ExplainedTime& part : e.time) {
    RC_LOG() << to_string(part.term) << ": " << part.text << '\n';
    RC_ASSERT(!part.text.empty());
    seconds += part.seconds;
  }
  for (const ExplainedMemory& part : e.memory) {
    RC_LOG() << to_string(part.term) << ": " << part.text << '\n';
    RC_ASSERT(!part.text.empty());
    RC_ASSERT(std::abs(part.bytes / plain[part.term] - 1) < 1e-9);
    bytes += part.bytes;
  }
  RC_ASSERT(std::abs(seconds / plain.step_time_s - 1) < 1e-9);
  RC_ASSERT(std::abs(bytes / plain.used - 1) < 1e-9);
}

TEST(FindPlanProblem, SaysWhatIsWrong) {
  Estimator e = estimator("llama-2-7b", 2048, "dgx-h100", "megatron");
  const auto problem = [&](const Plan& p) { return find_plan_problem(e.workload(), e.target(), p); };
  EXPECT_THAT(problem({.gpus = 8, .dp = 4, .global_batch = 8}), HasSubstr("is 4, not 8 GPUs"));
  EXPECT_THAT(problem({.gpus = 3, .dp = 1, .tp = 3, .global_batch = 8}), HasSubstr("tp 3 does not divide 32 heads"));
  EXPECT_THAT(problem({.gpus = 64, .pp = 64, .global_batch = 8}), HasSubstr("more stages than 32 layers"));
  EXPECT_THAT(problem({.gpus = 8, .dp = 8, .global_batch = 12}), HasSubstr("global batch 12"));
  EXPECT_THAT(problem({.gpus = 8, .dp = 8, .ep = 2, .global_batch = 8}), HasSubstr("ep 2 does not divide 0 experts"));
  EXPECT_EQ(problem({.gpus = 8, .dp = 8, .zero = 3, .global_batch = 8}), "");
}

}  // namespace
}  // namespace shardscope
