#pragma once
// Fits a Machine to a run that was measured: the models that the run's ops speak about get its seconds, the rest stays.
//
//   Refit fitted = refit(base, {programs, op_seconds, "run zero-2 of run.db"});
//   Prediction p = simulate(programs, fitted.machine);
//
// An op's slice is no cost of its own: ranks shared cores while it ran. So the programs run on the virtual clock with
// the machine as known so far, and each cost is changed by what was measured; some rounds, as costs change the sharing.
// Where ranks shared evenly, as on the clock, that is measured / predicted slice. Where they took turns, an op shorter
// than a turn took either its own time or that and a turn of others: its quick slices are its cost. Which of the two
// it was, all ops of about a length tell together. Per distinct op (model and size) the median counts; a line of
// ln(factor) over ln(size), robust (robust_line.h), carries it to other sizes of the model, held outside what was seen.
//
// What the slices took beyond that is waiting: of collectives the machine's crowded_meeting for this number of ranks;
// of ranks that outnumber the cores its core_capacity, set so that the step comes out. What then is left of the
// difference to the measured step is one factor on every op that was seen and on that waiting, and reported:
// Refit::scale.
//
// An op counts with the gap that its lane makes before the next one; the machine's overhead of an op becomes no more
// than the shortest op with it.
//
// Leaves out: waking, a step's overhead, the drive's sharing, capacity and crowding of other numbers of ranks: those
// are the base's.

#include <span>
#include <string>
#include <vector>

#include "core/program/program.h"
#include "simulator/machine.h"

namespace shardscope {

struct MeasuredRun {
  std::span<const Program> programs;  ///< by rank
  /// By rank, by op: a slice without its waiting, mean over steps; 0: not seen.
  std::span<const std::vector<double>> op_seconds;
  std::string source;     ///< what it is, for Machine::source
  double lane_gap_s = 0;  ///< between two slices of the compute lane, that wait for nothing
  /// As op_seconds, the lower quartile over steps; empty: nothing varied.
  std::span<const std::vector<double>> quick_seconds = {};
  double step_s = 0;  ///< 0: not known, the step is what the ops make of it
};

/// |predicted / measured - 1| of the slices of the distinct ops of one model, each once.
struct Residuals {
  double median = 0, p90 = 0;
};

struct ModelFit {
  std::string model;     ///< "matmul:tb, 2 threads"
  int points = 0;        ///< distinct ops
  std::int64_t ops = 0;  ///< instructions, all ranks
  double seconds = 0;    ///< measured, of one step, all ranks
  Residuals before, after;
};

struct Refit {
  Machine machine;
  std::vector<ModelFit> fits;         ///< most seconds first
  std::vector<std::string> unfitted;  ///< names of ops that were seen and that no single model costs
  double capacity = 0;                ///< cores' worth of work that the run's ranks did together
  double crowded_meeting_s = 0;       ///< what a collective of them waited for cores
  double scale = 1;                   ///< of every op seen and that waiting, to the measured step, after all else
};

/// Throws Error{kConfig} if no op was measured.
Refit refit(const Machine& base, const MeasuredRun& run);

/// Models that the programs ask, as ModelFit names them, sorted: what a fit to another run may not have seen.
std::vector<std::string> models_asked(std::span<const Program> programs, const Machine& machine);

}  // namespace shardscope
