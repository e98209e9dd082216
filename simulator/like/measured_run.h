#pragma once
// A measured run of a profile, as the simulator wants it: its job, its programs, and how long each op took. What
// `calibrate --from` and `predict --like` begin with.
//
//   const MeasuredJob run = read_measured_run(Profile("run.db"), "");     // its last measured run
//   const Refit fitted = refit(default_machine(run.cores), run.measured());

#include <string>
#include <vector>

#include "core/spec/job.h"
#include "profiler/query/list_runs.h"
#include "simulator/calibrate/refit.h"

namespace shardscope {

struct MeasuredJob {
  RunRow row;
  std::string source;  ///< "run zero-2 of run.db"
  std::string text;    ///< Job::text
  Job job;
  int cores = 1;             ///< of the machine it ran on
  std::string processor;     ///< its name; empty: recorded before names were
  std::string machine_text;  ///< the calibrated machine file that train was given, whole; empty: none
  std::vector<Program> programs;
  std::vector<std::vector<double>> op_seconds, quick_seconds;  ///< by rank and op: RankSeconds
  double lane_gap_s = 0;                                       ///< median over the ranks
  double step_s = 0;                                           ///< median over the steps
  std::string place() const;                                   ///< "2 cores of AMD EPYC 9B45"
  MeasuredRun measured() const {
    return {programs, op_seconds, source + ", on " + place(), lane_gap_s, quick_seconds, step_s};
  }
};

/// What the run did not show is taken from here: the machine file at `path`, or the one that the run was made with, or
/// guesses from its cores. Throws Error{kConfig} if `path` is of a machine with other cores.
Machine base_machine(const MeasuredJob& run, const std::string& path);

/// What the fit says of the run's ranks beyond their ops: "4 ranks did the work of 1.88 of 2 cores; ...".
std::string describe_waits(const MeasuredJob& run, const Refit& fitted);

/// The machine that a run is made on.
struct RunPlace {
  int cores = 1, threads_per_rank = 1;
  std::string processor, machine_text;  ///< as MeasuredJob
};
/// What `train` and `predict` write into the run's row beside Job::text: where the predicted seconds are from, too.
std::string job_record(const Job& job, const RunPlace& place);

/// `name`: a name or number; empty: the last one that was measured. Throws Error{kConfig, kUnsupported}: there is none,
/// it was predicted, not trained here, recorded without its job, on another number of threads than cores / ranks, or
/// by a version that lowers the job to other programs.
MeasuredJob read_measured_run(const Profile& profile, const std::string& name);

}  // namespace shardscope
