#pragma once
// Programs with times a person can follow, for tests of the clock: an op's time in ns is written in the op itself.

#include <map>
#include <string>
#include <vector>

#include "core/program/program.h"
#include "core/trace.h"
#include "simulator/cost/cost_model.h"

namespace shardscope {

/// fill value=T takes T ns; a collective takes as many ns as it has elements. Each op draws one unit of resource 0 per
/// rank, and an op of the gather lane half a unit of resource 1 as well.
class WrittenCosts : public CostModel {
 public:
  explicit WrittenCosts(double cores, double bandwidth = 1e9, std::int64_t wake_ns = 0, std::int64_t step_ns = 0)
      : resources_{{"cores", cores}, {"bandwidth", bandwidth}}, wake_ns_(wake_ns), step_ns_(step_ns) {}

  const std::vector<Resource>& resources() const override { return resources_; }
  OpCost cost(const Program& program, const Instruction& i) const override {
    OpCost cost;
    std::int64_t ns = collective_bytes(program, i.op) / 4;
    if (const auto* fill = std::get_if<Fill>(&i.op)) ns = static_cast<std::int64_t>(fill->value);
    cost.seconds.compute = from_ns(ns);
    cost.demands = {{0, 1.0}};
    if (i.lane == Lane::kGather) cost.demands.push_back({1, 0.5});
    if (is_communication(i.op)) cost.crowded = from_ns(crowded_ns);
    ++costed;
    return cost;
  }
  Seconds wake_latency() const override { return from_ns(wake_ns_); }
  Seconds step_overhead() const override { return from_ns(step_ns_); }
  FlopPerSecond peak_per_rank(DType /*dtype*/) const override { return FlopPerSecond(1e9); }
  bool calibrated() const override { return true; }

  mutable int costed = 0;
  std::int64_t crowded_ns = 0;  ///< of collectives

 private:
  std::vector<Resource> resources_;
  std::int64_t wake_ns_, step_ns_;
};

/// Builds a rank's program op by op; every op has a buffer of its own.
class ProgramMaker {
 public:
  explicit ProgramMaker(int rank = 0, int world = 1) {
    program.rank = rank;
    program.world = world;
    program.tokens_per_step = 100;
    Group group{"dp", {}, rank};
    for (int r = 0; r < world; ++r) group.ranks.push_back(r);
    program.groups.push_back(group);
  }

  OpId fill(Lane lane, std::int64_t ns, std::vector<OpId> after = {}, Phase phase = Phase::kForward) {
    return add(Fill{buffer(1), static_cast<double>(ns)}, lane, std::move(after), phase);
  }
  OpId all_reduce(Lane lane, std::int64_t ns, std::vector<OpId> after = {}) {
    return add(AllReduce{GroupId{0}, buffer(ns)}, lane, std::move(after), Phase::kBackward);
  }
  OpId add(Op op, Lane lane, std::vector<OpId> after, Phase phase) {
    program.instructions.push_back({std::move(op), lane, {.phase = phase}, std::move(after)});
    return OpId{static_cast<std::int32_t>(program.instructions.size()) - 1};
  }
  Region buffer(std::int64_t elements) {
    Buffer b;
    b.name = "b" + std::to_string(program.buffers.size());
    b.elements = elements;
    b.persistent = true;
    return program.whole(program.add_buffer(b));
  }

  Program program;
};

/// Keeps all rows of all ranks.
class KeptTrace : public TraceSink {
 public:
  struct Rank : RankTrace {
    void slice(const SliceEvent& e) override { slices.push_back(e); }
    void memory(const MemoryEvent& e) override { memories.push_back(e); }
    void step(const StepEvent& e) override { steps.push_back(e); }
    void finish(const MemoryPeak& p, std::int64_t) override { peak = p, finished = true; }
    const SliceEvent& of(OpId op, int step = 0) const {
      for (const SliceEvent& e : slices) {
        if (e.op == op && e.step == step) return e;
      }
      throw std::out_of_range("no slice of this op");
    }
    std::vector<SliceEvent> slices;
    std::vector<MemoryEvent> memories;
    std::vector<StepEvent> steps;
    MemoryPeak peak;
    bool finished = false;
  };
  RankTrace* open_rank(int rank, const Program&) override { return &ranks[rank]; }
  std::map<int, Rank> ranks;
};

}  // namespace shardscope
