#pragma once
// Runs the programs of all ranks of a job on a virtual clock: the same programs the executor runs, the same trace rows.
//
//   std::vector<Program> programs = ...;                        // lower(job, r) for each rank r
//   Prediction p = simulate(programs, machine, {.flops_per_token = training_flops_per_token(job.model, seq)});
//   p.step_time_s, p.breakdown.exposed_communication_s, p.ranks[1].peak.peak_bytes[0]

#include <cstdint>
#include <span>
#include <vector>

#include "core/program/program.h"
#include "core/spec/cluster_spec.h"
#include "core/trace.h"
#include "simulator/machine.h"

namespace shardscope {

class CostModel;

struct SimulateOptions {
  TraceSink* sink = nullptr;   ///< rows as the executor writes them; null: none
  int steps = 1;               ///< steps simulated one after another
  double flops_per_token = 0;  ///< of the model, forward and backward: what MFU counts. 0: mfu is 0
};

/// Seconds of a step by what a rank does, highest claim first: optimizer and compute (the compute lane is busy),
/// exposed communication (it is not, and a collective runs or waits for late ranks), offload (copies, host compute or
/// NVMe), bubble (nothing of these runs). The parts sum to the step.
struct StepBreakdown {
  double compute_s = 0, exposed_communication_s = 0, bubble_s = 0, offload_s = 0, optimizer_s = 0;
  double total_s() const { return compute_s + exposed_communication_s + bubble_s + offload_s + optimizer_s; }
};

struct RankPrediction {
  int rank = 0;
  int count = 1;            ///< ranks that it speaks for: itself and those like it (predict() only)
  MemoryPeak peak;          ///< a fact of the program: equals the executor's to the byte
  StepBreakdown breakdown;  ///< sums to the job's step: a rank that is done early idles
};

struct Prediction {
  double step_time_s = 0;   ///< mean over the steps; ranks start and end a step together
  StepBreakdown breakdown;  ///< mean over the ranks; sums to the step
  std::vector<RankPrediction> ranks;
  std::vector<int> speaker;  ///< by rank: index into `ranks`; empty: each speaks for itself
  double tokens_per_s = 0;
  double mfu = 0;  ///< of peak_flops_per_rank; 0 without flops_per_token
  double peak_flops_per_rank = 0;
  std::int64_t ops = 0;     ///< instructions simulated, all ranks and steps
  bool calibrated = false;  ///< false: from guesses, not from measurements
};

/// Ranks as threads of `machine`. Programs in rank order, all of one job. Throws Error{kConfig} naming ranks and ops if
/// they cannot end (collectives that do not match).
Prediction simulate(std::span<const Program> ranks, const Machine& machine, const SimulateOptions& options = {});

/// One rank per device of a cluster: a roofline per op and rings over its links. First version: efficiencies are
/// guesses.
Prediction simulate(std::span<const Program> ranks, const ClusterSpec& cluster, const SimulateOptions& options = {});

/// What `rank` is predicted to do.
const RankPrediction& prediction_of(const Prediction& prediction, int rank);

/// Any cost model (simulator/cost/cost_model.h).
Prediction simulate(std::span<const Program> ranks, const CostModel& costs, const SimulateOptions& options = {});

}  // namespace shardscope
