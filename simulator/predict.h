#pragma once
// Time and memory of a job on a cluster, from the job alone: the same result as lowering every rank and simulating all
// programs, from one rank of each class (simulator/fold/rank_classes.h) and, of a long schedule, only as much as shows
// how it goes on (simulator/fold/stretch.h).
//
//   Prediction p = predict(job, cluster);
//   prediction_of(p, 4711).peak, p.ranks[0].count
//
// How it works, and how fast: docs/simulator.md.

#include "core/spec/job.h"
#include "simulator/fold/rank_folder.h"
#include "simulator/simulate.h"

namespace shardscope {

struct PredictOptions {
  bool fold_ranks = true;     ///< false: lowers and simulates every rank
  bool fold_schedule = true;  ///< false: lowers whole programs
};

/// How much work it was.
struct PredictStatistics : FoldStatistics {
  std::int64_t slowed = 0;  ///< times that something went on below full speed
  bool again = false;       ///< the optimizer's step could not be run apart
};

/// Throws Error as lower() and simulate() do.
Prediction predict(const Job& job, const ClusterSpec& cluster, const PredictOptions& options = {},
                   PredictStatistics* statistics = nullptr);

}  // namespace shardscope
