// How many ops per second does the virtual clock handle on one core? Checks the simulated time before it prints a rate.

#include <benchmark/benchmark.h>

#include "core/check.h"
#include "core/program/program.h"
#include "simulator/clock/flat_program.h"
#include "simulator/clock/virtual_clock.h"

namespace shardscope {
namespace {

/// Every op 1 us. With `cores` for all nothing is shared.
class MicrosecondCosts : public CostModel {
 public:
  explicit MicrosecondCosts(double cores) : resources_{{"cores", cores}} {}
  const std::vector<Resource>& resources() const override { return resources_; }
  OpCost cost(const Program&, const Instruction&) const override {
    OpCost cost;
    cost.seconds.compute = microseconds(1);
    cost.demands = {{0, 1.0}};
    return cost;
  }
  Seconds wake_latency() const override { return Seconds(0); }
  Seconds step_overhead() const override { return Seconds(0); }
  FlopPerSecond peak_per_rank(DType /*dtype*/) const override { return FlopPerSecond(1); }
  bool calibrated() const override { return true; }

 private:
  std::vector<Resource> resources_;
};

// Like a training step: compute with a gather every eighth op that runs ahead on its lane, all ranks meeting in it.
std::vector<Program> programs(int ranks, int ops) {
  std::vector<Program> all;
  for (int r = 0; r < ranks; ++r) {
    Program program;
    program.rank = r, program.world = ranks;
    Group group{"dp", {}, r};
    for (int i = 0; i < ranks; ++i) group.ranks.push_back(i);
    program.groups.push_back(group);
    const Region data = program.whole(program.add_buffer({.name = "b", .elements = 256, .persistent = true}));
    OpId gather;
    for (int i = 0; i < ops; ++i) {
      Instruction instruction{Fill{data, 0.0}, Lane::kCompute, {}, {}};
      if (i % 8 == 0) {
        instruction = {AllReduce{GroupId{0}, data}, Lane::kGather, {}, {}};
        gather = OpId{i};
      } else if (i % 8 == 4) {
        instruction.after = {gather};
      }
      program.instructions.push_back(instruction);
    }
    all.push_back(std::move(program));
  }
  return all;
}

void run_steps(benchmark::State& state, double cores_per_rank) {
  const int ranks = static_cast<int>(state.range(0));
  constexpr int kOps = 4096, kSteps = 16;
  const std::vector<Program> all = programs(ranks, kOps);
  const FlatProgram flat = flatten(all, MicrosecondCosts(cores_per_rank * ranks), false);
  std::int64_t ops = 0;
  for (auto _ : state) {
    const ClockResult result = run_clock(flat, {.steps = kSteps});
    // Seven eighths of the ops are compute, 1 us each, one after another; with cores for all the gathers only delay the
    // first few.
    const std::int64_t compute_ns = kSteps * kOps * 7 / 8 * 1000;
    SS_CHECK(result.end_ns >= compute_ns, result.end_ns);
    SS_CHECK(cores_per_rank < 2 || result.end_ns <= compute_ns + kSteps * 1000, result.end_ns);
    ops += result.ops;
  }
  state.counters["ops/s"] = benchmark::Counter(static_cast<double>(ops), benchmark::Counter::kIsRate);
}

void uncontended(benchmark::State& state) { run_steps(state, 2); }
void half_the_cores(benchmark::State& state) { run_steps(state, 0.5); }

void flattening(benchmark::State& state) {
  const std::vector<Program> all = programs(4, 4096);
  for (auto _ : state) benchmark::DoNotOptimize(flatten(all, MicrosecondCosts(8), false));
  state.counters["ops/s"] =
      benchmark::Counter(4.0 * 4096 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

BENCHMARK(uncontended)->Arg(1)->Arg(4)->Arg(64)->Unit(benchmark::kMillisecond);
BENCHMARK(half_the_cores)->Arg(4)->Unit(benchmark::kMillisecond);
BENCHMARK(flattening)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace shardscope

BENCHMARK_MAIN();
