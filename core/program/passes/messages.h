#pragma once
// Which messages go between pipeline stages, and from when on a sender knows that one has arrived.

#include <optional>
#include <vector>

#include "core/program/schedule.h"

namespace shardscope {

/// The schedules of a pipeline's ranks, those that were asked for, and what follows from them.
class PipelinePlan {
 public:
  explicit PipelinePlan(const PipelineShape& shape);

  const std::vector<Action>& actions(int rank);
  const PipelineShape& shape() const { return shape_; }

  /// The stage whose output an action of `stage` takes in, or that takes in its output; nothing at the pipeline's ends.
  std::optional<int> source(ActionKind kind, int stage) const;
  std::optional<int> target(ActionKind kind, int stage) const;

  /// For the message that `rank`'s action `index` sends: the index of the first action of `rank` that takes in
  /// something its receiver made after (or with) receiving. From then on the message is surely delivered, and its
  /// memory may be reused without waiting for a receiver that may itself wait for us. Nothing: only the end of the
  /// schedule is sure.
  std::optional<std::size_t> delivered_at(int rank, std::size_t index);

 private:
  struct Place {
    int rank = 0;
    std::size_t index = 0;
  };
  /// Where stage `stage` runs forward, or the half of backward that passes a gradient on, of a micro-batch.
  Place place(bool forward, int stage, int micro_batch);
  std::size_t slot(bool forward, int stage, int micro_batch) const;

  PipelineShape shape_;
  std::vector<std::vector<Action>> lists_;  ///< by rank; empty: not made yet
  std::vector<std::size_t> index_;          ///< by slot: where in its rank's list
};

}  // namespace shardscope
