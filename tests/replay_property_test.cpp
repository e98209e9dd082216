// A replay of a recorded step says how long it would have been with something else. Of predicted runs the simulator can
// say that too, by costing the same programs otherwise. Where nothing is shared and nothing starts late, the two must
// agree to the nanosecond: what waits for what is then known.

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <functional>
#include <string>

#include "core/program/lower.h"
#include "profiler/query/critical_path.h"
#include "profiler/query/replay.h"
#include "profiler/store/test_profile.h"
#include "simulator/cost/cost_model.h"
#include "simulator/simulate.h"
#include "tests/random_job.h"

namespace shardscope {
namespace {

/// How many times as long ops of a kind take.
using Factor = std::function<int(std::string_view kind)>;

/// Whole nanoseconds by what an op does; nothing is shared.
class PlainCosts : public CostModel {
 public:
  explicit PlainCosts(Factor factor) : factor_(std::move(factor)) {}
  const std::vector<Resource>& resources() const override { return none_; }
  OpCost cost(const Program& program, const Instruction& i) const override {
    const double work = flops(i.op) / 64 + static_cast<double>(bytes_touched(program, i.op)) / 32;
    OpCost cost;
    cost.seconds.compute = from_ns((static_cast<std::int64_t>(work) + 10) * factor_(op_name(i.op)));
    return cost;
  }
  Seconds wake_latency() const override { return Seconds(0); }
  Seconds step_overhead() const override { return Seconds(0); }
  FlopPerSecond peak_per_rank(DType /*dtype*/) const override { return FlopPerSecond(1e9); }
  bool calibrated() const override { return true; }

 private:
  const std::vector<Resource> none_;
  Factor factor_;
};

std::int64_t step_ns(const Prediction& prediction) { return std::llround(prediction.step_time_s * 1e9); }

RC_GTEST_PROP(Replay, OfAPredictedStepIsThePredictionOfTheChange, ()) {
  const Job job = job_of(*gen_job());
  std::vector<Program> programs;
  for (int rank = 0; rank < job.parallel.ranks(); ++rank) programs.push_back(lower(job, rank));
  const auto seed = *rc::gen::inRange<std::size_t>(0, 1000);
  const Factor change = [seed](std::string_view kind) {
    return 1 + static_cast<int>((std::hash<std::string_view>{}(kind) / 7 + seed) % 3);
  };

  const testing::TempFolder folder;
  RunInfo info = testing::tiny_run("as it is", true);
  info.world = static_cast<int>(programs.size());
  ProfileWriter writer(folder.file("run.db"), info);
  const Prediction as_it_is =
      simulate(programs, PlainCosts([](std::string_view) { return 1; }), {.sink = &writer, .steps = 1});
  writer.finish();
  const Profile profile(folder.file("run.db"));
  const StepGraph graph = StepGraphSource(profile, 1).graph(0);

  const CriticalPath path = critical_path(graph);
  RC_ASSERT(path.time.length() == step_ns(as_it_is));
  RC_ASSERT(path.part(TimePart::kIdleUnknown) == 0);
  RC_ASSERT(path.part(TimePart::kWaiting) == 0);
  RC_ASSERT(replay(graph, {}).step_ns == step_ns(as_it_is));

  ReplayChange changed;
  changed.of_work = [&](const WorkOp& op) { return static_cast<double>(change(op.kind)); };
  RC_ASSERT(replay(graph, changed).step_ns == step_ns(simulate(programs, PlainCosts(change))));
}

}  // namespace
}  // namespace shardscope
