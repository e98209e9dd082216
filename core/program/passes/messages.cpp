#include "core/program/passes/messages.h"

namespace shardscope {

PipelinePlan::PipelinePlan(const PipelineShape& shape) : shape_(shape) {
  for (int r = 0; r < shape.ranks; ++r) {
    lists_.push_back(make_schedule(shape, r));
    for (std::size_t i = 0; i < lists_.back().size(); ++i) {
      const Action& a = lists_.back()[i];
      if (a.kind == ActionKind::kWeight) continue;
      places_[{{a.kind == ActionKind::kForward, stage_at(shape, r, a.chunk)}, a.micro_batch}] = {r, i};
    }
  }
}

std::optional<int> PipelinePlan::source(ActionKind kind, int stage) const {
  if (kind == ActionKind::kForward) return stage > 0 ? std::optional(stage - 1) : std::nullopt;
  return kind != ActionKind::kWeight && stage < shape_.stages() - 1 ? std::optional(stage + 1) : std::nullopt;
}

std::optional<int> PipelinePlan::target(ActionKind kind, int stage) const {
  if (kind == ActionKind::kForward) return stage < shape_.stages() - 1 ? std::optional(stage + 1) : std::nullopt;
  return kind != ActionKind::kWeight && stage > 0 ? std::optional(stage - 1) : std::nullopt;
}

std::optional<std::size_t> PipelinePlan::delivered_at(int rank, std::size_t index) const {
  const std::vector<Action>& ours = actions(rank);
  const Action& sent = ours[index];
  const bool forward = sent.kind == ActionKind::kForward;
  const Place received = place(forward, *target(sent.kind, stage_at(shape_, rank, sent.chunk)), sent.micro_batch);
  for (std::size_t i = index + 1; i < ours.size(); ++i) {
    const std::optional<int> from = source(ours[i].kind, stage_at(shape_, rank, ours[i].chunk));
    if (!from) continue;
    const Place made = place(ours[i].kind == ActionKind::kForward, *from, ours[i].micro_batch);
    if (made.rank == received.rank && made.index >= received.index) return i;
  }
  return std::nullopt;
}

}  // namespace shardscope
