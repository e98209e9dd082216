#pragma once
// Which messages go between pipeline stages, and from when on a sender knows that one has arrived.

#include <map>
#include <optional>
#include <vector>

#include "core/program/schedule.h"

namespace shardscope {

/// The schedules of all ranks of a pipeline, and what follows from them.
class PipelinePlan {
 public:
  explicit PipelinePlan(const PipelineShape& shape);

  const std::vector<Action>& actions(int rank) const { return lists_[static_cast<std::size_t>(rank)]; }
  const PipelineShape& shape() const { return shape_; }

  /// The stage whose output an action of `stage` takes in, or that takes in its output; nothing at the pipeline's ends.
  std::optional<int> source(ActionKind kind, int stage) const;
  std::optional<int> target(ActionKind kind, int stage) const;

  /// For the message that `rank`'s action `index` sends: the index of the first action of `rank` that takes in
  /// something its receiver made after (or with) receiving. From then on the message is surely delivered, and its
  /// memory may be reused without waiting for a receiver that may itself wait for us. Nothing: only the end of the
  /// schedule is sure.
  std::optional<std::size_t> delivered_at(int rank, std::size_t index) const;

 private:
  struct Place {
    int rank = 0;
    std::size_t index = 0;
  };
  /// Where stage `stage` runs forward, or the half of backward that passes a gradient on, of a micro-batch.
  Place place(bool forward, int stage, int micro_batch) const { return places_.at({{forward, stage}, micro_batch}); }

  PipelineShape shape_;
  std::vector<std::vector<Action>> lists_;
  std::map<std::pair<std::pair<bool, int>, int>, Place> places_;
};

}  // namespace shardscope
