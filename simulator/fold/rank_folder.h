#pragma once
// One rank's program as segments, lowered with as few micro-batches as show how its schedule goes on.
//
//   SegmentStore store(costs);
//   RankFolder folder(job, store);
//   FoldedProgram program = folder.fold(4711);
//   fold_memory(store, program.persistent, program.segments)

#include <cstdint>
#include <vector>

#include "core/program/schedule.h"
#include "simulator/fold/segment.h"

namespace shardscope {

struct FoldedProgram {
  std::vector<int> segments;
  MemoryTable persistent;
  int few = 0;                    ///< micro-batches that it was stretched from; 0: it was lowered as it is ...
  std::vector<int> few_segments;  ///< ... and theirs
};

/// How much work it was.
struct FoldStatistics {
  int lowered = 0, whole = 0;             ///< programs, and those of them with all micro-batches ...
  std::int64_t lowered_instructions = 0;  ///< ... and what is in them
};

class RankFolder {
 public:
  /// `stretches`: else whole programs are lowered.
  RankFolder(const Job& job, SegmentStore& store, bool stretches = true);

  FoldedProgram fold(int rank);
  /// The rank's program with so many micro-batches; 0: the job's.
  SplitProgram split(int rank, int micro_batches);
  const FoldStatistics& statistics() const { return statistics_; }

 private:
  int pipeline_rank(int rank) const;

  const Job& job_;
  SegmentStore& store_;
  PipelineShape shape_;
  bool stretches_;
  FoldStatistics statistics_;
};

}  // namespace shardscope
