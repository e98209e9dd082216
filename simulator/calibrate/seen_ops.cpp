#include "simulator/calibrate/seen_ops.h"

#include <numeric>

#include "core/check.h"
#include "simulator/simulate.h"

namespace shardscope {

namespace {

/// Durations, without waiting, of the slices that the clock writes.
class PredictedSlices : public TraceSink {
 public:
  explicit PredictedSlices(std::span<const Program> programs) : ranks_(programs.size()) {
    for (std::size_t r = 0; r < programs.size(); ++r) ranks_[r].seconds.resize(programs[r].instructions.size());
  }
  RankTrace* open_rank(int rank, const Program& /*program*/) override {
    return &ranks_[static_cast<std::size_t>(rank)];
  }
  double seconds(std::size_t rank, std::size_t op) const { return ranks_[rank].seconds[op]; }

 private:
  struct Rank : RankTrace {
    void slice(const SliceEvent& e) override {
      seconds[static_cast<std::size_t>(e.op.index)] = static_cast<double>(e.duration_ns - e.wait_ns) * 1e-9;
    }
    void memory(const MemoryEvent& /*event*/) override {}
    void step(const StepEvent& /*event*/) override {}
    void finish(const MemoryPeak& /*peak*/, std::int64_t /*rss*/) override {}
    std::vector<double> seconds;
  };
  std::vector<Rank> ranks_;
};

OpShape shape_of(const CostPlace& place) {
  if (const auto* p = std::get_if<MatMulPoint>(&place.shape)) return {place.work, p->m, p->n};
  if (const auto* p = std::get_if<AttentionPoint>(&place.shape))
    return {place.work, p->head_dim, p->batch * p->kv_heads};
  return {place.work, 0, 0};
}

double with_gap(const MeasuredRun& run, double slice, std::size_t rank, std::size_t op) {
  const bool is_compute = run.programs[rank].instructions[op].lane == Lane::kCompute;
  return slice > 0 && is_compute ? slice + run.lane_gap_s : slice;
}

double sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

}  // namespace

double DistinctOp::ratio() const { return sum(measured) / sum(predicted); }

double measured_seconds(const MeasuredRun& run, std::size_t rank, std::size_t op) {
  return with_gap(run, run.op_seconds[rank][op], rank, op);
}

double quick_seconds(const MeasuredRun& run, std::size_t rank, std::size_t op) {
  return with_gap(run, (run.quick_seconds.empty() ? run.op_seconds : run.quick_seconds)[rank][op], rank, op);
}

SeenOps look(const Machine& machine, const MeasuredRun& run, std::set<std::string>* unfitted) {
  const HostCosts costs(machine, static_cast<int>(run.programs.size()));
  PredictedSlices predicted(run.programs);
  simulate(run.programs, costs, {.sink = &predicted});
  SeenOps seen;
  for (std::size_t rank = 0; rank < run.programs.size(); ++rank) {
    const Program& program = run.programs[rank];
    SS_CHECK(run.op_seconds[rank].size() == program.instructions.size(), rank);
    for (std::size_t op = 0; op < program.instructions.size(); ++op) {
      const double seconds = measured_seconds(run, rank, op), expected = predicted.seconds(rank, op);
      if (seconds <= 0 || expected <= 0) continue;
      const Instruction& instruction = program.instructions[op];
      const auto place = cost_place(program, instruction, costs);
      if (!place) {
        const bool alone = is_communication(instruction.op);  // a group of one
        if (unfitted != nullptr && !alone) unfitted->insert(std::string(op_name(instruction.op)));
        continue;
      }
      DistinctOp& distinct = seen[place->key][shape_of(*place)];
      if (distinct.measured.empty()) {
        distinct.place = *place;
        distinct.alone = (costs.cost(program, instruction).seconds.total() - machine.op_overhead).value;
      }
      distinct.measured.push_back(seconds);
      distinct.quick.push_back(quick_seconds(run, rank, op));
      distinct.predicted.push_back(expected);
    }
  }
  return seen;
}

}  // namespace shardscope
