#include "simulator/calibrate/refit.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/check.h"
#include "core/error.h"
#include "simulator/calibrate/cost_key.h"
#include "simulator/calibrate/rebuild_models.h"
#include "simulator/calibrate/robust_line.h"
#include "simulator/simulate.h"

namespace shardscope {

namespace {

constexpr int kRounds = 2;
/// A cost is not taken for less than this share of what it was thought to be without its lane's overhead. Guess.
constexpr double kLeastShare = 0.05;

/// Of two in the middle the lower: what disturbs an op makes it slower.
double quantile(std::vector<double> values, double q) {
  SS_CHECK(!values.empty());
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

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

/// All instructions that are one op to the models: same model, same size.
struct DistinctOp {
  CostPlace place;
  double alone = 0;  ///< seconds by the machine so far, of one that shares nothing, without its lane's overhead
  std::vector<double> measured, predicted;
  double ratio() const { return quantile(measured, 0.5) / quantile(predicted, 0.5); }
};

struct Shape {
  double work, m, n;
  auto operator<=>(const Shape&) const = default;
};

Shape shape_of(const CostPlace& place) {
  if (const auto* p = std::get_if<MatMulPoint>(&place.shape)) return {place.work, p->m, p->n};
  if (const auto* p = std::get_if<AttentionPoint>(&place.shape))
    return {place.work, p->head_dim, p->batch * p->kv_heads};
  return {place.work, 0, 0};
}

/// What an op of the run took of its lane; 0: not seen.
double seconds_of(const MeasuredRun& run, std::size_t rank, std::size_t op) {
  const double slice = run.op_seconds[rank][op];
  const bool is_compute = run.programs[rank].instructions[op].lane == Lane::kCompute;
  return slice > 0 && is_compute ? slice + run.lane_gap_s : slice;
}

/// The base with an overhead that no op of the run is shorter than.
Machine with_overhead(Machine base, const MeasuredRun& run) {
  for (std::size_t rank = 0; rank < run.programs.size(); ++rank) {
    for (std::size_t op = 0; op < run.op_seconds[rank].size(); ++op) {
      const double seconds = seconds_of(run, rank, op);
      if (seconds > 0) base.op_overhead = std::min(base.op_overhead, Seconds(seconds));
    }
  }
  return base;
}

using Seen = std::map<CostKey, std::map<Shape, DistinctOp>>;

/// The run beside what `machine` predicts of it.
Seen look(const Machine& machine, const MeasuredRun& run, std::set<std::string>* unfitted) {
  const HostCosts costs(machine, static_cast<int>(run.programs.size()));
  PredictedSlices predicted(run.programs);
  simulate(run.programs, costs, {.sink = &predicted});
  Seen seen;
  for (std::size_t rank = 0; rank < run.programs.size(); ++rank) {
    const Program& program = run.programs[rank];
    SS_CHECK(run.op_seconds[rank].size() == program.instructions.size(), rank);
    for (std::size_t op = 0; op < program.instructions.size(); ++op) {
      const double seconds = seconds_of(run, rank, op), expected = predicted.seconds(rank, op);
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
      distinct.predicted.push_back(expected);
    }
  }
  return seen;
}

/// What the model's seconds are to be changed by.
ModelChange change_of(const std::map<Shape, DistinctOp>& ops, double overhead) {
  std::vector<LinePoint> points;
  for (const auto& [shape, op] : ops) {
    const double alone = std::max(op.alone, 1e-9);
    const double wanted = std::max((alone + overhead) * op.ratio() - overhead, kLeastShare * alone);
    points.push_back({std::log(op.place.work), std::log(wanted / alone)});
  }
  ModelChange change{fit_robust_line(points), {}};
  std::size_t i = 0;
  for (const auto& [shape, op] : ops) change.points.push_back({op.place, std::exp(change.line.tamed(points[i++]))});
  return change;
}

Residuals residuals(const std::map<Shape, DistinctOp>& ops) {
  std::vector<double> errors;
  for (const auto& [shape, op] : ops) errors.push_back(std::abs(1 / op.ratio() - 1));
  return {quantile(errors, 0.5), quantile(errors, 0.9)};
}

ModelFit summary(const CostKey& key, const std::map<Shape, DistinctOp>& ops) {
  ModelFit fit;
  fit.model = key.text();
  fit.points = static_cast<int>(ops.size());
  for (const auto& [shape, op] : ops) {
    fit.ops += static_cast<std::int64_t>(op.measured.size());
    for (const double seconds : op.measured) fit.seconds += seconds;
  }
  fit.before = residuals(ops);
  return fit;
}

std::vector<ModelFit> list_fits(const Seen& before, const Seen& after) {
  std::vector<ModelFit> fits;
  for (const auto& [key, ops] : before) {
    fits.push_back(summary(key, ops));
    if (const auto found = after.find(key); found != after.end()) fits.back().after = residuals(found->second);
  }
  std::stable_sort(fits.begin(), fits.end(), [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  return fits;
}

}  // namespace

Refit refit(const Machine& base, const MeasuredRun& run) {
  std::set<std::string> unfitted;
  const Seen before = look(base, run, &unfitted);
  if (before.empty()) throw Error(ErrorKind::kConfig, run.source + ": holds no measured op that a machine file costs");
  Refit result{base, {}, {unfitted.begin(), unfitted.end()}};
  result.machine = with_overhead(base, run);
  Seen seen = look(result.machine, run, nullptr);
  for (int round = 0; round < kRounds; ++round) {
    ModelChanges changes;
    for (const auto& [key, ops] : seen) changes.emplace(key, change_of(ops, result.machine.op_overhead.value));
    // What other numbers of threads and ranks were measured at stays; of guesses the first round moves all.
    result.machine =
        rebuild_models(result.machine, changes, static_cast<int>(run.programs.size()), round == 0 && !base.calibrated);
    seen = look(result.machine, run, nullptr);
  }
  result.fits = list_fits(before, seen);
  result.machine.calibrated = true;
  result.machine.name = base.name;
  result.machine.source = run.source + "; what it did not show: " + base.source;
  return result;
}

std::vector<std::string> models_asked(std::span<const Program> programs, const Machine& machine) {
  const HostCosts costs(machine, static_cast<int>(programs.size()));
  std::set<std::string> names;
  for (const Program& program : programs) {
    for (const Instruction& instruction : program.instructions) {
      if (const auto place = cost_place(program, instruction, costs)) names.insert(place->key.text());
    }
  }
  return {names.begin(), names.end()};
}

}  // namespace shardscope
