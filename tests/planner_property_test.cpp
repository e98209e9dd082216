// The planner's bounds: no estimate is below them, and a search that uses them finds what one without finds.

#include "simulator/planner/bounds.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <tuple>
#include <vector>

#include "simulator/planner/planner_fixture_for_test.h"

namespace shardscope {
namespace {

const Candidate& any_candidate(std::size_t first = 0) {
  static const std::vector<Candidate> kAll{candidate_for_test("llama-3-8b", 8192, "dgx-h100", "shardscope"),
                                           candidate_for_test("mixtral-8x7b", 4096, "dgx-a100", "shardscope"),
                                           candidate_for_test("bloom", 2048, "dgx-b200", "megatron"),
                                           candidate_for_test("llama-2-13b", 4096, "dgx-h200", "deepspeed"),
                                           candidate_for_test("qwen2.5-0.5b", 2048, "l40s-server", "fsdp2")};
  return kAll[*rc::gen::inRange<std::size_t>(first, kAll.size())];
}

/// Any plan of the space of `candidate` on up to `max_gpus`.
Plan any_plan(const Candidate& c, int max_gpus, std::int64_t batch) {
  const int gpus = *rc::gen::elementOf(gpu_counts(c.target.system, max_gpus));
  const std::vector<Plan> layouts = list_layouts(c.workload, c.target, gpus, batch, c.limits);
  RC_PRE(!layouts.empty());
  const Plan layout = *rc::gen::elementOf(layouts);
  return with_variant(layout, *rc::gen::elementOf(list_variants(layout, c.target, c.limits)));
}

RC_GTEST_PROP(Bounds, NoEstimateIsBelow, ()) {
  const Candidate& c = any_candidate();
  const PlanBounds bounds(c.workload, c.target, c.framework);
  Estimator estimator(c.workload, c.target, c.framework);
  for (int i = 0; i < 20; ++i) {
    const Plan plan = any_plan(c, 128, 256);
    const Estimate e = estimator.estimate(plan);
    RC_ASSERT(bounds.step_time(plan) <= e.step_time_s);
    RC_ASSERT(bounds.bytes(plan) <= e.used);
    RC_ASSERT(bounds.kernel_seconds(plan) <=
              e[TimeTerm::kMatmul] + e[TimeTerm::kAttention] + e[TimeTerm::kElements] + e[TimeTerm::kRecompute]);
  }
}

// What search() relies on when one estimate bounds others.
RC_GTEST_PROP(Bounds, StateOnlyAddsTime, ()) {
  const Candidate& c = any_candidate();
  Estimator estimator(c.workload, c.target, c.framework);
  const Plan plan = any_plan(c, 128, 256);
  const double floor = seconds_without_state(plan, estimator.estimate(plan));
  for (const Variant& v : list_variants(plan, c.target, c.limits)) {
    if (v.recompute != plan.recompute || v.micro_batch != plan.micro_batch) continue;
    RC_ASSERT(floor <= estimator.estimate(with_variant(plan, v)).step_time_s * (1 + 1e-12));
  }
}

RC_GTEST_PROP(Bounds, MemoryGrowsWithTheMicroBatch, ()) {
  const Candidate& c = any_candidate(2);  // not our own: gradients of an only micro-batch come when activations go
  Estimator estimator(c.workload, c.target, c.framework);
  Plan plan = any_plan(c, 128, 256);
  double before = 0;
  for (plan.micro_batch = 1; plan.global_batch % (plan.dp * plan.micro_batch) == 0; plan.micro_batch *= 2) {
    const double used = estimator.estimate(plan).used;
    RC_ASSERT(used >= before * (1 - 1e-12));
    before = used;
  }
}

using Key = std::tuple<std::size_t, double, double, double, int>;
std::vector<Key> keys_of(const SearchResult& r) {
  std::vector<Key> keys;
  for (const PlanPoint& p : r.pareto) {
    keys.emplace_back(p.candidate, p.run.days, p.run.cost_usd, p.run.energy_kwh, p.comfort);
  }
  return keys;
}

RC_GTEST_PROP(Search, BoundsDoNotChangeTheFrontOfAnySmallSpace, ()) {
  static const std::vector<const char*> kModels{"gpt2-xl", "llama-3-8b", "mixtral-8x7b", "opt-6.7b"};
  static const std::vector<const char*> kSystems{"dgx-h100", "dgx-a100-40", "l40s-server", "dgx-b200"};
  static const std::vector<const char*> kFrameworks{"shardscope", "megatron", "deepspeed", "fsdp2"};
  SearchRequest request;
  request.candidates = {candidate_for_test(*rc::gen::elementOf(kModels), *rc::gen::element<std::int64_t>(1024, 2048),
                                           *rc::gen::elementOf(kSystems), *rc::gen::elementOf(kFrameworks))};
  Candidate& c = request.candidates[0];
  c.limits.max_micro_batch = 4;
  c.limits.max_vpp = 2;
  c.counts = {*rc::gen::element(1, 2, 4, 8, 16)};
  request.global_batch = *rc::gen::element<std::int64_t>(16, 24, 64);
  request.threads = 1;
  const SearchResult bounded = search(request);
  request.bounds = false;
  const SearchResult all = search(request);
  RC_ASSERT(keys_of(bounded) == keys_of(all));
}

}  // namespace
}  // namespace shardscope
