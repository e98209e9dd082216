#pragma once
// The rows of a job's step for one rank of each class (rank_classes.h), which the others are like: what can be shown of
// a thousand ranks without simulating a thousand. Times and bytes are those of simulating all of them, but where so
// many ranks differ in the optimizer's slices only that they are taken as one: then the optimizer's few kernels differ.
//
//   ProfileWriter writer(path, info);
//   TracedClasses traced = trace_classes(job, cluster, writer, {});
//   traced.prediction.step_time_s, traced.ranks       // {0, 8, 16, 24}: those that have rows

#include <cstdint>
#include <functional>
#include <vector>

#include "core/spec/job.h"
#include "simulator/simulate.h"

namespace shardscope {

struct TraceClassesOptions {
  int most_ranks = 64;  ///< more classes than that: ranks that differ in the optimizer only are one
  std::int64_t most_instructions = 4'000'000;  ///< of all programs: of a longer schedule only its first micro-batches
  std::function<bool(double done)> progress;   ///< 0 to 1; false: stop, with Error{kConfig}
};

struct TracedClasses {
  Prediction prediction;  ///< `speaker` by rank; of the micro-batches that were simulated
  std::vector<int> ranks;
  int micro_batches = 0;  ///< simulated; 0: all of them
};

/// Throws Error as lower() and simulate() do.
TracedClasses trace_classes(const Job& job, const ClusterSpec& cluster, TraceSink& sink,
                            const TraceClassesOptions& options);

}  // namespace shardscope
