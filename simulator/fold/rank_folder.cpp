#include "simulator/fold/rank_folder.h"

#include "core/program/lower.h"
#include "simulator/fold/stretch.h"

namespace shardscope {

RankFolder::RankFolder(const Job& job, SegmentStore& store, bool stretches)
    : job_(job), store_(store), shape_(pipeline_shape(job)), stretches_(stretches) {}

int RankFolder::pipeline_rank(int rank) const {
  return rank / (job_.parallel.dp * job_.parallel.cp * job_.parallel.tp);
}

SplitProgram RankFolder::split(int rank, int micro_batches) {
  const Program program = lower(job_, rank, {.micro_batches = micro_batches});
  ++statistics_.lowered;
  if (micro_batches == 0) ++statistics_.whole;
  statistics_.lowered_instructions += static_cast<std::int64_t>(program.instructions.size());
  return store_.split(program);
}

FoldedProgram RankFolder::fold(int rank) {
  const int place = pipeline_rank(rank);
  constexpr int kTries = 2;
  for (int t = 0; t < kTries && stretches_; ++t) {
    const int few = fewer_micro_batches(shape_, place, t);
    if (few == 0) break;
    SplitProgram split = this->split(rank, few);
    const Script all = make_script(shape_, place, shape_.micro_batches);
    if (auto segments = stretch(make_script(shape_, place, few), split, all, store_)) {
      return {std::move(*segments), split.persistent, few, std::move(split.segments)};
    }
  }
  SplitProgram split = this->split(rank, 0);
  return {std::move(split.segments), split.persistent, 0, {}};
}

}  // namespace shardscope
