// The planner's speed: estimates per second on one core, the complete search of a 175B model on three kinds of GPUs,
// and all plans of one cluster without bounds. Each checks its result before it prints a time.

#include <benchmark/benchmark.h>

#include "core/check.h"
#include "core/spec/hardware.h"
#include "core/spec/model_catalog.h"
#include "simulator/planner/search.h"

namespace shardscope {
namespace {

constexpr std::int64_t kSeq = 2048, kBatch = 1536;

Candidate gpt3_on(const char* system_name, const char* framework) {
  const HardwareCatalog catalog = default_catalog();
  const SystemSpec& system = find_system(catalog, system_name);
  Candidate c;
  c.workload.model = find_model("gpt3-175b");
  c.workload.seq = kSeq;
  c.target = {find_gpu(catalog, system.gpu), system, find_fabric(catalog, system.fabric)};
  c.framework = find_framework(default_frameworks(), framework);
  c.limits = limits_of(c.framework);
  c.run.tokens = 300e9;
  c.run.usd_per_gpu_hour = price_of(catalog, system).on_demand;
  return c;
}

/// Every plan of 512 H100s in turn, all met before.
void estimates(benchmark::State& state) {
  const Candidate c = gpt3_on("dgx-h100", "shardscope");
  std::vector<Plan> plans;
  for (const Plan& layout : list_layouts(c.workload, c.target, 512, kBatch, c.limits)) {
    for (const Variant& v : list_variants(layout, c.target, c.limits)) plans.push_back(with_variant(layout, v));
  }
  Estimator estimator(c.workload, c.target, c.framework);
  double fits = 0;
  for (const Plan& p : plans) fits += estimator.estimate(p).fits ? 1 : 0;
  SS_CHECK(fits > 0, plans.size());
  std::size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(estimator.estimate(plans[i]).step_time_s);
    i = i + 1 == plans.size() ? 0 : i + 1;
  }
  state.counters["estimates/s"] =
      benchmark::Counter(static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
  state.counters["plans"] = static_cast<double>(plans.size());
}
BENCHMARK(estimates)->Unit(benchmark::kMicrosecond);

void complete_search(benchmark::State& state) {
  SearchRequest request;
  for (const char* system : {"dgx-h100", "dgx-h200", "dgx-b200"}) {
    for (const char* framework : {"megatron", "fsdp2", "deepspeed"})
      request.candidates.push_back(gpt3_on(system, framework));
  }
  request.max_gpus = 4096;
  request.global_batch = kBatch;
  request.threads = static_cast<int>(state.range(0));
  SearchResult r;
  for (auto _ : state) r = search(request);
  SS_CHECK(!r.pareto.empty());
  state.counters["searched"] = static_cast<double>(r.searched);
  state.counters["estimated"] = static_cast<double>(r.estimated);
  state.counters["front"] = static_cast<double>(r.pareto.size());
}
BENCHMARK(complete_search)->Arg(1)->Arg(2)->Unit(benchmark::kSecond)->Iterations(1)->UseRealTime();

/// GPT-3 on 4,096 H100s: tp to 8, pp to 96, vpp to 96, rings and Ulysses to 16 with at least 128 tokens a rank, any
/// power of two as micro-batch, stages 0 to 3, shard groups, offloads, recomputations, with sp and without; each with
/// and without overlap of gradients, of gathers and of tensor parallelism, with fused and plain norms and activations
/// (16 frameworks). With our own engine, which has all of these, as many choices as Calculon's search of this model and
/// cluster (7.1 million), though not the same ones. Argument: whether bounds are used; without them every plan is
/// estimated.
void exhaustive(benchmark::State& state, const char* framework) {
  SearchRequest request;
  for (int bits = 0; bits < 16; ++bits) {
    Candidate c = gpt3_on("dgx-h100", framework);
    c.framework.overlaps_gradients = (bits & 1) != 0, c.framework.overlaps_gathers = (bits & 2) != 0;
    c.framework.overlaps_tensor = (bits & 4) != 0;
    c.framework.fused_norm = c.framework.fused_activation = (bits & 8) != 0;
    SpaceLimits& limits = c.limits;
    limits.max_pp = limits.max_vpp = 96, limits.max_cp = limits.max_ulysses = 16;
    limits.min_tokens_per_cp = 128, limits.max_micro_batch = 4096;
    c.counts = {4096};
    request.candidates.push_back(std::move(c));
  }
  request.max_gpus = 4096;
  request.global_batch = 4096;
  request.threads = 1;
  request.bounds = state.range(0) != 0;
  SearchResult r;
  for (auto _ : state) r = search(request);
  SS_CHECK(!r.pareto.empty());
  SS_CHECK(request.bounds || r.estimated == r.searched, r.estimated, r.searched);
  state.counters["searched"] = static_cast<double>(r.searched);
  state.counters["estimated"] = static_cast<double>(r.estimated);
  state.counters["step_s"] = best_point(r.pareto, Objective::kTime)->estimate.step_time_s;
}
BENCHMARK_CAPTURE(exhaustive, megatron, "megatron")->Arg(1)->Arg(0)->Unit(benchmark::kSecond)->Iterations(1);
BENCHMARK_CAPTURE(exhaustive, shardscope, "shardscope")->Arg(1)->Arg(0)->Unit(benchmark::kSecond)->Iterations(1);

}  // namespace
}  // namespace shardscope

BENCHMARK_MAIN();
