#pragma once
// lower(): from a job to the program of one rank, as a list of passes (core/program/lower.cpp reads as the design).
//
//   Program program = lower(job, /*rank=*/1);
//   std::vector<PassRecord> log;
//   Program half = lower(job, 1, {.until = "zero", .log = &log});

#include <string>
#include <vector>

#include "core/program/program.h"
#include "core/spec/job.h"

namespace shardscope {

struct PassRecord {
  std::string name;
  double seconds = 0;
  std::size_t instructions = 0;  ///< after the pass
  bool changed = false;
};

struct LowerOptions {
  std::string until;              ///< stop after this pass; empty: run all. Unknown names are Error{kConfig}
  std::vector<std::string> skip;  ///< passes to leave out, by name
  bool verify = false;            ///< also verify the finished program (tests; costs a few ms)
  std::vector<PassRecord>* log = nullptr;
  /// Instead of the job's, so many micro-batches: of the same size, and with the loss scaled as in the job's step. What
  /// simulator/fold learns from how a long schedule goes on. 0: the job's.
  int micro_batches = 0;
};

/// Throws Error{kUnsupported} naming what this version does not run, Error{kConfig} for illegal mixes.
Program lower(const Job& job, int rank, const LowerOptions& options = {});

/// The groups that this rank is in, as its program has them.
std::vector<Group> rank_groups(const Job& job, int rank);

/// The names of the passes, in order.
std::vector<std::string> pass_names();

}  // namespace shardscope
