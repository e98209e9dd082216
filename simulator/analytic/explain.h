#pragma once
// Why an estimate says what it says: each term of time and memory with the numbers that make it, the constants behind
// them, and what a little more of each rate would change.
//
//   Explanation e = explain(workload, target, framework, plan);
//   e.time[0].text      // "32 blocks x 1.21 ms + 3.4 ms of ends, x 8 micro-batches; 71 % of the bf16 peak"
//   e.memory[2].text    // "6.74 G parameters x 12 bytes / 64 ranks"

#include <string>
#include <vector>

#include "simulator/analytic/constants.h"
#include "simulator/analytic/estimate.h"
#include "simulator/analytic/sensitivity.h"

namespace shardscope {

struct ExplainedTime {
  TimeTerm term = TimeTerm::kMatmul;
  double seconds = 0, share = 0;  ///< share of the step
  std::string text;
};

struct ExplainedMemory {
  MemoryTerm term = MemoryTerm::kParameters;
  double bytes = 0;  ///< what the formula in `text` comes to; the estimate's (explain_test.cpp)
  std::string text;
};

struct Explanation {
  Estimate estimate;
  std::vector<ExplainedTime> time;      ///< terms above zero, largest first; they sum to the step
  std::vector<ExplainedMemory> memory;  ///< likewise; they sum to Estimate::used
  Constants constants;                  ///< rows that the estimate stands on
  std::vector<Sensitivity> sensitivities;
};

/// Error{kConfig}: a model without layers, a plan that is not legal, a step that would take no time or hang on nothing.
Explanation explain(const Workload&, const Target&, const FrameworkSpec&, const Plan&,
                    const Constants& = default_constants());

/// The bytes of the host and the drive: "host 54.0 GB, of which pinned 17.2 GB"; empty where there are none.
std::string describe_host(const Estimate&);

}  // namespace shardscope
