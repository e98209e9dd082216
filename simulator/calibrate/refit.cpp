#include "simulator/calibrate/refit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>

#include "core/check.h"
#include "core/error.h"
#include "simulator/calibrate/rebuild_models.h"
#include "simulator/calibrate/robust_line.h"
#include "simulator/calibrate/seen_ops.h"
#include "simulator/cost/op_family.h"
#include "simulator/simulate.h"

namespace shardscope {

namespace {

constexpr int kRounds = 4, kScaleRounds = 4;
/// A cost is not taken for less than this share of what it was thought to be without its lane's overhead. Guess.
constexpr double kLeastShare = 0.05;
/// Ops that others stretch by less than this share are taken as they were measured. Guess.
constexpr double kStretched = 0.02;
/// Slices whose mean is above the quick ones by this share of what the clock stretches them say that ranks took turns;
/// sharing evenly they would not vary. Guess.
constexpr double kTurns = 0.5;
/// Ranks that outnumber the cores do at least this share of their work. Guess: switching costs that much at most.
constexpr double kLeastCapacity = 0.7;
constexpr double kSettled = 1e-3;  // of a step, relative

/// Of two in the middle the lower: what disturbs an op makes it slower.
double quantile(std::vector<double> values, double q) {
  SS_CHECK(!values.empty());
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

double median(const std::vector<double>& values) { return quantile(values, 0.5); }

double sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

/// Bytes past the caches per second that quick slices of an op moved; 0: it has no such bytes.
double memory_rate(const Machine& machine, const Program& program, const Instruction& instruction, double seconds) {
  if (seconds <= 0 || is_communication(instruction.op) || !family_work(program, instruction.op)) return 0;
  return (static_cast<double>(bytes_touched(program, instruction.op)) - machine.cache.value) / seconds;
}

/// The base with an overhead that no op of the run is shorter than and, where it is a guess, with the memory's rate at
/// least what ops drew, were they on all cores that the ranks have.
Machine with_bounds(Machine base, const MeasuredRun& run) {
  double rate = 0;
  for (std::size_t rank = 0; rank < run.programs.size(); ++rank) {
    for (std::size_t op = 0; op < run.op_seconds[rank].size(); ++op) {
      const double seconds = quick_seconds(run, rank, op);
      rate = std::max(rate, memory_rate(base, run.programs[rank], run.programs[rank].instructions[op], seconds));
      if (seconds > 0) base.op_overhead = std::min(base.op_overhead, Seconds(seconds));
    }
  }
  const int abreast = std::min(base.cores, static_cast<int>(run.programs.size()));
  if (!base.calibrated) base.memory_bandwidth = std::max(base.memory_bandwidth, BytesPerSecond(rate * abreast));
  return base;
}

bool is_collective_model(const CostKey& key) { return key.model == CostKey::Model::kCollective; }

/// How much the ops of about one length took turns on cores: 0, they shared evenly; 1, each had its core for a while.
/// Together, since single ops of a few microseconds seldom meet another's turn.
class TurnsTaken {
 public:
  explicit TurnsTaken(const SeenOps& seen, double overhead) {
    for (const auto& [key, ops] : seen) {
      for (const auto& [shape, op] : ops) {
        Sums& all = sums_[place_of(key, op)];
        all.measured += sum(op.measured);
        all.quick += sum(op.quick);
        all.predicted += sum(op.predicted);
        all.alone += (op.alone + overhead) * static_cast<double>(op.measured.size());
      }
    }
  }

  double of(const CostKey& key, const DistinctOp& op) const {
    const Sums& all = sums_[place_of(key, op)];
    const double stretch = all.predicted / all.alone - 1, varied = all.measured / all.quick - 1;
    return stretch < kStretched ? 0 : std::clamp(varied / (kTurns * stretch), 0.0, 1.0);
  }

 private:
  struct Sums {
    double measured = 0, quick = 0, predicted = 0, alone = 0;
  };
  /// Collectives, which wait for several ranks' cores; other ops below 1 ms, to 4, to 16, above: a turn is some
  /// milliseconds.
  static std::size_t place_of(const CostKey& key, const DistinctOp& op) {
    if (is_collective_model(key)) return 4;
    const double octaves = std::floor(std::log2(median(op.quick) / 0.25e-3) / 2);
    return static_cast<std::size_t>(std::clamp(octaves, 0.0, 3.0));
  }
  std::array<Sums, 5> sums_;
};

/// What the model's seconds are to be changed by.
ModelChange change_of(const CostKey& key, const std::map<OpShape, DistinctOp>& ops, const TurnsTaken& turns,
                      double overhead) {
  std::vector<LinePoint> points;
  for (const auto& [shape, op] : ops) {
    const double alone = std::max(op.alone, 1e-9), took_turns = turns.of(key, op);
    const double even = (alone + overhead) * median(op.measured) / median(op.predicted);
    const double quick = quantile(op.quick, is_collective_model(key) ? 0.25 : 0.5);
    const double wanted = took_turns * quick + (1 - took_turns) * even - overhead;
    points.push_back({std::log(op.place.work), std::log(std::max(wanted, kLeastShare * alone) / alone)});
  }
  ModelChange change{fit_robust_line(points), {}};
  std::size_t i = 0;
  for (const auto& [shape, op] : ops) change.points.push_back({op.place, std::exp(change.line.tamed(points[i++]))});
  return change;
}

/// The curve with one value changed; of a guess nothing else is kept.
Curve with_value(const Curve& curve, double x, double y, bool keep) {
  std::map<double, double> points;
  if (keep) {
    for (const CurvePoint& p : curve.points()) points[p.x] = p.y;
  }
  points[x] = y;
  std::vector<CurvePoint> list;
  for (const auto& [at, value] : points) list.push_back({at, value});
  return Curve(list);
}

Residuals residuals(const std::map<OpShape, DistinctOp>& ops) {
  std::vector<double> errors;
  for (const auto& [shape, op] : ops) errors.push_back(std::abs(1 / op.ratio() - 1));
  return {quantile(errors, 0.5), quantile(errors, 0.9)};
}

ModelFit summary(const CostKey& key, const std::map<OpShape, DistinctOp>& ops) {
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

std::vector<ModelFit> list_fits(const SeenOps& before, const SeenOps& after) {
  std::vector<ModelFit> fits;
  for (const auto& [key, ops] : before) {
    fits.push_back(summary(key, ops));
    if (const auto found = after.find(key); found != after.end()) fits.back().after = residuals(found->second);
  }
  std::stable_sort(fits.begin(), fits.end(), [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  return fits;
}

/// One fit: the machine so far, and the run beside it.
class Fit {
 public:
  Fit(const Machine& base, const MeasuredRun& run)
      : base_(base), run_(run), ranks_(static_cast<int>(run.programs.size())), machine_(with_bounds(base, run)) {}

  Refit run() {
    std::set<std::string> unfitted;
    const SeenOps before = look(base_, run_, &unfitted);
    if (before.empty()) {
      throw Error(ErrorKind::kConfig, run_.source + ": holds no measured op that a machine file costs");
    }
    seen_ = look(machine_, run_, nullptr);
    for (int round = 0; round < kRounds; ++round) {
      fit_costs(round == 0);
      if (round > 0) fit_waits();
      if (round > 1 && run_.step_s > 0) fit_capacity();
    }
    if (run_.step_s > 0) fit_scale();
    Refit result{machine_, list_fits(before, seen_), {unfitted.begin(), unfitted.end()}};
    result.machine.calibrated = true;
    result.machine.source = run_.source + "; what it did not show: " + base_.source;
    result.capacity = machine_.capacity(ranks_);
    result.crowded_meeting_s = crowded_meeting();
    result.scale = scale_;
    return result;
  }

 private:
  /// What other numbers of threads and ranks were measured at stays; of guesses the first round moves all.
  void change(const ModelChanges& changes, bool first) {
    machine_ = rebuild_models(machine_, changes, ranks_, first && !base_.calibrated);
    seen_ = look(machine_, run_, nullptr);
  }

  void fit_costs(bool first) {
    const double overhead = machine_.op_overhead.value;
    const TurnsTaken turns(seen_, overhead);
    ModelChanges changes;
    for (const auto& [key, ops] : seen_) changes.emplace(key, change_of(key, ops, turns, overhead));
    change(changes, first);
  }

  double crowded_meeting() const {
    const Curve& curve = machine_.crowded_meeting;
    return curve.at(std::min<double>(ranks_, curve.points().back().x));
  }

  /// What collectives took longer than their work, as the clock shares it, and the waiting so far say.
  void fit_waits() {
    double excess = 0, count = 0;
    for (const auto& [key, ops] : seen_) {
      if (!is_collective_model(key)) continue;
      for (const auto& [shape, op] : ops) {
        excess += sum(op.measured) - sum(op.predicted);
        count += static_cast<double>(op.measured.size());
      }
    }
    if (count == 0) return;
    set_crowded_meeting(crowded_meeting() + excess / count);
    seen_ = look(machine_, run_, nullptr);
  }

  double step() const { return simulate(run_.programs, machine_).step_time_s; }

  /// Where ranks outnumber the cores: as many cores' worth of work as give the measured step. More of them never make
  /// it longer.
  void fit_capacity() {
    if (ranks_ <= machine_.cores) return;
    double low = kLeastCapacity * machine_.cores, high = machine_.cores;
    for (int i = 0; i < 12; ++i) {
      const double middle = (low + high) / 2;
      machine_.core_capacity = with_value(machine_.core_capacity, ranks_, middle, true);
      (step() > run_.step_s ? low : high) = middle;
    }
    seen_ = look(machine_, run_, nullptr);
  }

  /// Late ranks, waking and whatever else no model shows.
  void fit_scale() {
    for (int round = 0; round < kScaleRounds; ++round) {
      const double factor = run_.step_s / step();
      if (std::abs(factor - 1) < kSettled) return;
      scale_ *= factor;
      ModelChanges changes;
      for (const auto& [key, ops] : seen_) {
        ModelChange& all = changes[key];
        all.line.value = std::log(factor);
        for (const auto& [shape, op] : ops) all.points.push_back({op.place, factor});
      }
      set_crowded_meeting(crowded_meeting() * factor);
      change(changes, true);
    }
  }

  void set_crowded_meeting(double seconds) {
    machine_.crowded_meeting = with_value(machine_.crowded_meeting, ranks_, std::max(seconds, 1e-9), base_.calibrated);
  }

  const Machine& base_;
  const MeasuredRun& run_;
  int ranks_;
  Machine machine_;
  SeenOps seen_;
  double scale_ = 1;
};

}  // namespace

Refit refit(const Machine& base, const MeasuredRun& run) { return Fit(base, run).run(); }

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
