#include "simulator/fold/device_peak.h"

#include <algorithm>

#include "simulator/fold/rank_folder.h"

namespace shardscope {

std::int64_t folded_device_peak(const Job& job, std::int64_t enough) {
  const int per_stage = job.parallel.ranks() / job.parallel.pp;
  SegmentStore store;
  RankFolder folder(job, store);
  std::int64_t most = 0;
  for (int stage = 0; stage < job.parallel.pp && most <= enough; ++stage) {
    const FoldedProgram program = folder.fold(stage * per_stage);
    const MemoryPeak peak = fold_memory(store, program.persistent, program.segments);
    most = std::max(most, peak.peak_bytes[static_cast<std::size_t>(Space::kDevice)]);
  }
  return most;
}

}  // namespace shardscope
