#include "simulator/planner/space.h"

#include <gmock/gmock.h>

#include <set>
#include <tuple>

#include "core/error.h"
#include "simulator/planner/planner_fixture_for_test.h"

namespace shardscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Property;
using testing::Throws;

auto key_of(const Plan& p) {
  return std::tuple(p.dp, p.tp, p.pp, p.vpp, p.cp, p.ulysses, p.ep, p.sp, p.zero, p.shard, p.offload, p.recompute,
                    p.micro_batch);
}

std::vector<Plan> all_plans(const Candidate& c, int gpus, std::int64_t batch) {
  std::vector<Plan> plans;
  for (const Plan& layout : list_layouts(c.workload, c.target, gpus, batch, c.limits)) {
    for (const Variant& v : list_variants(layout, c.target, c.limits)) plans.push_back(with_variant(layout, v));
  }
  return plans;
}

TEST(Space, PlansAreLegalAndDifferent) {
  for (const char* framework : {"shardscope", "megatron", "deepspeed", "fsdp2"}) {
    for (const char* model : {"llama-3-8b", "mixtral-8x7b"}) {
      const Candidate c = candidate_for_test(model, 8192, "dgx-h100", framework);
      std::set<decltype(key_of(Plan{}))> seen;
      int illegal = 0;
      for (const Plan& plan : all_plans(c, 16, 32)) {
        illegal += find_plan_problem(c.workload, c.target, plan).empty() ? 0 : 1;
        EXPECT_EQ(plan.dp * plan.tp * plan.pp * plan.cp * plan.ulysses, 16);
        EXPECT_TRUE(seen.insert(key_of(plan)).second);
      }
      EXPECT_EQ(illegal, 0) << framework << ' ' << model;
      EXPECT_GT(seen.size(), 20u) << framework << ' ' << model;
    }
  }
}

/// What find_plan_problem() accepts, within the limits that space.h states, is in the space.
TEST(Space, NothingLegalIsMissing) {
  const Candidate c = candidate_for_test("llama-3-8b", 4096, "dgx-h100", "shardscope");
  std::set<decltype(key_of(Plan{}))> seen;
  for (const Plan& plan : all_plans(c, 8, 16)) seen.insert(key_of(plan));
  int missing = 0;
  for (int tp : {1, 2, 4, 8}) {
    for (int pp : {1, 2, 4, 8}) {
      for (int cp : {1, 2}) {
        if (8 % (tp * pp * cp) != 0) continue;
        for (bool sp : {false, true}) {
          for (int zero : {0, 1, 2, 3}) {
            for (std::int64_t b : {1, 2, 4, 8, 16}) {
              Plan p{.gpus = 8, .dp = 8 / (tp * pp * cp), .tp = tp, .pp = pp, .cp = cp, .sp = sp, .zero = zero};
              p.micro_batch = b, p.global_batch = 16;
              if (p.zero > 1 && pp > 1) continue;
              if (zero > 0 && p.dp * p.cp == 1) continue;  // the same as stage 0
              if (find_plan_problem(c.workload, c.target, p).empty() && seen.count(key_of(p)) == 0) ++missing;
            }
          }
        }
      }
    }
  }
  EXPECT_EQ(missing, 0);
}

TEST(Space, FrameworksKeepToWhatTheyCanRun) {
  for (const Plan& p : all_plans(candidate_for_test("llama-3-8b", 4096, "dgx-h100", "megatron"), 16, 32)) {
    EXPECT_LE(p.zero, 1);
    EXPECT_EQ(p.offload, Offload::kNone);
    EXPECT_EQ(32 % (p.pp * p.vpp), 0);
  }
  for (const Plan& p : all_plans(candidate_for_test("llama-3-8b", 4096, "dgx-h100", "fsdp2"), 16, 32)) {
    EXPECT_EQ(p.zero, 3);
    EXPECT_EQ(p.pp, 1);
  }
}

TEST(Space, DeepSpeedsUlyssesStandsAlone) {
  const Candidate c = candidate_for_test("llama-3-8b", 8192, "dgx-h100", "deepspeed");
  int with = 0;
  for (const Plan& p : list_layouts(c.workload, c.target, 64, 64, c.limits)) {
    if (p.ulysses == 1) continue;
    ++with;
    EXPECT_EQ(p.tp * p.pp, 1);
  }
  EXPECT_GT(with, 0);
}

TEST(Space, SaysWhatAFrameworkCannotRun) {
  const auto lacks = [](const char* framework, const Plan& plan) {
    return find_unsupported(plan, 32, candidate_for_test("llama-3-8b", 8192, "dgx-h100", framework).limits);
  };
  EXPECT_EQ(lacks("megatron", {.dp = 8, .zero = 3}), "ZeRO 3");
  EXPECT_EQ(lacks("megatron", {.pp = 3, .zero = 1}), "32 layers in 3 stages");
  EXPECT_EQ(lacks("fsdp2", {.pp = 2, .zero = 3}), "pp 2");
  EXPECT_EQ(lacks("deepspeed", {.tp = 2, .ulysses = 2, .zero = 1}), "ulysses beside tp or pp");
  EXPECT_EQ(lacks("megatron", {.zero = 1, .offload = Offload::kOptimizer}), "offload optimizer-cpu");
  EXPECT_EQ(lacks("shardscope", {.pp = 3, .zero = 3, .offload = Offload::kParameters}), "");
}

// 126 layers, 128 with the embedding and the loss: 16 stages of 8, as Meta trained it.
TEST(Space, TheEndsOfAModelCountAsLayersWhereThatMakesStagesEven) {
  const Candidate c = candidate_for_test("llama-3-405b", 8192, "dgx-h100", "megatron");
  std::set<std::pair<int, int>> stages;
  for (const Plan& p : list_layouts(c.workload, c.target, 1024, 512, c.limits)) stages.insert({p.pp, p.vpp});
  EXPECT_TRUE(stages.contains({16, 1}));
  EXPECT_TRUE(stages.contains({16, 4}));
  EXPECT_FALSE(stages.contains({16, 8}));  // a part would be the embedding alone
  EXPECT_FALSE(stages.contains({32, 3}));
  EXPECT_FALSE(ends_fill_stages(126, 14));  // even without
  EXPECT_FALSE(ends_fill_stages(32, 16));
}

/// Megatron-LM stops at a last group of fewer than pp micro-batches, and so does our own lowering.
TEST(Space, InterleavedPlansHaveWholeGroupsOfMicroBatches) {
  int interleaved = 0, others = 0;
  for (const char* framework : {"megatron", "shardscope"}) {
    for (const Plan& p : all_plans(candidate_for_test("llama-3-8b", 4096, "dgx-h100", framework), 16, 24)) {
      const bool whole = p.micro_batches() % p.pp == 0;
      if (p.vpp > 1) {
        ++interleaved;
        EXPECT_TRUE(whole) << p.micro_batches() << " of " << p.pp;
      } else if (!whole) {
        ++others;
      }
    }
  }
  EXPECT_GT(interleaved, 0);
  EXPECT_GT(others, 0);  // without chunks any number will do
}

TEST(Space, SizesCanBeFixed) {
  const Workload workload = workload_for_test("llama-2-7b", 4096);
  const Target target = target_for_test("dgx-h100");
  SpaceLimits limits;
  limits.only_tp = 4, limits.only_pp = 2, limits.only_micro_batch = 3;
  const std::vector<Plan> layouts = list_layouts(workload, target, 32, 96, limits);
  ASSERT_FALSE(layouts.empty());
  int plans = 0;
  for (const Plan& layout : layouts) {
    EXPECT_EQ(layout.tp, 4);
    EXPECT_EQ(layout.pp, 2);
    for (const Variant& v : list_variants(layout, target, limits)) {
      EXPECT_EQ(v.micro_batch, 3);
      ++plans;
    }
  }
  EXPECT_GT(plans, 0);
  limits.only_tp = 3;
  EXPECT_TRUE(list_layouts(workload, target, 32, 96, limits).empty());
}

TEST(Space, CountsAreNodesAndPartsOfThem) {
  const Target h100 = target_for_test("dgx-h100");
  EXPECT_THAT(gpu_counts(h100.system, 3), ElementsAre(1, 2));
  EXPECT_THAT(gpu_counts(h100.system, 44), ElementsAre(1, 2, 4, 8, 16, 24, 32, 40));
  const std::vector<int> many = gpu_counts(h100.system, 4100);
  EXPECT_EQ(many.back(), 4096);
  EXPECT_EQ(many.size(), 3u + 31 + 4 * 16 + 1);
  for (std::size_t i = 1; i < many.size(); ++i) EXPECT_GT(many[i], many[i - 1]);
}

TEST(Space, OffloadsHaveNames) {
  for (const Offload o :
       {Offload::kNone, Offload::kOptimizer, Offload::kOptimizerNvme, Offload::kParameters, Offload::kParametersNvme}) {
    EXPECT_EQ(offload_from_name(to_string(o)), o);
  }
  EXPECT_THAT([] { offload_from_name("optimiser-cpu"); },
              Throws<Error>(Property(&Error::what, HasSubstr("optimizer-cpu"))));
}

}  // namespace
}  // namespace shardscope
