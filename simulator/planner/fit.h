#pragma once
// Will this model train on what I have, with which ZeRO stage and offload? Every stage with and without offload, each
// at its fastest micro-batch and recomputation that fits and leaves 5 % of the device, or else that fits.
//
//   const FitTable table = fit(candidate, 8, 64);
//   if (table.recommended) table.rows[*table.recommended].plan ...; else table.advice

#include <optional>
#include <string>
#include <vector>

#include "simulator/planner/search.h"

namespace shardscope {

struct FitRow {
  Plan plan;  ///< dp = gpus; if nothing fits, that of the least memory
  Estimate estimate;
  bool fits = false;    ///< device, host and drives
  std::string problem;  ///< what does not fit, or that the node has no drive; empty if it fits
};

struct FitTable {
  std::vector<FitRow> rows;
  std::optional<std::size_t> recommended;  ///< the fastest that fits, with 5 % left where any has; of equals (1 %) the
                                           ///< lowest stage, without offload
  std::string why;
  std::vector<std::string> advice;  ///< if nothing fits: what would
};

FitTable fit(const Candidate&, int gpus, std::int64_t global_batch);

/// "12.3 GB too much for the GPU", the host or the drives; empty if all hold it.
std::string find_memory_problem(const Estimate&, const Target&, int gpus);

}  // namespace shardscope
