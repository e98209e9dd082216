#pragma once
// Which messages go between pipeline stages, in which order, and from when on a sender knows that one has arrived.
//
//   for (std::size_t i : plan.arrivals(rank, /*from_previous=*/true)) ...   // actions, as their inputs come in

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

  /// Whether a message that `stage` sends goes to the next rank, else to the previous one: a V's second half goes back
  /// up. The next of the last rank is the first.
  bool goes_to_next(ActionKind kind, int stage) const;

  /// The actions of `rank` whose inputs come from the previous (or the next) rank, in the order in which that one sends
  /// them. In a V activations and gradients share the way, and a receiver may use them in another order; but what two
  /// ranks exchange in one direction is matched in order, so it must be received as it was sent.
  std::vector<std::size_t> arrivals(int rank, bool from_previous);

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
