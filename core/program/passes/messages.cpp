#include "core/program/passes/messages.h"

namespace shardscope {

PipelinePlan::PipelinePlan(const PipelineShape& shape)
    : shape_(shape),
      lists_(static_cast<std::size_t>(shape.ranks)),
      index_(2 * static_cast<std::size_t>(shape.stages()) * static_cast<std::size_t>(shape.micro_batches)) {}

const std::vector<Action>& PipelinePlan::actions(int rank) {
  std::vector<Action>& list = lists_[static_cast<std::size_t>(rank)];
  if (!list.empty()) return list;
  list = make_schedule(shape_, rank);
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Action& a = list[i];
    if (a.kind == ActionKind::kWeight) continue;
    index_[slot(a.kind == ActionKind::kForward, stage_at(shape_, rank, a.chunk), a.micro_batch)] = i;
  }
  return list;
}

std::size_t PipelinePlan::slot(bool forward, int stage, int micro_batch) const {
  const auto row = 2 * static_cast<std::size_t>(stage) + (forward ? 1 : 0);
  return row * static_cast<std::size_t>(shape_.micro_batches) + static_cast<std::size_t>(micro_batch);
}

PipelinePlan::Place PipelinePlan::place(bool forward, int stage, int micro_batch) {
  const int rank = owner_of(shape_, stage).rank;
  actions(rank);
  return {rank, index_[slot(forward, stage, micro_batch)]};
}

std::optional<int> PipelinePlan::source(ActionKind kind, int stage) const {
  if (kind == ActionKind::kForward) return stage > 0 ? std::optional(stage - 1) : std::nullopt;
  return kind != ActionKind::kWeight && stage < shape_.stages() - 1 ? std::optional(stage + 1) : std::nullopt;
}

std::optional<int> PipelinePlan::target(ActionKind kind, int stage) const {
  if (kind == ActionKind::kForward) return stage < shape_.stages() - 1 ? std::optional(stage + 1) : std::nullopt;
  return kind != ActionKind::kWeight && stage > 0 ? std::optional(stage - 1) : std::nullopt;
}

bool PipelinePlan::goes_to_next(ActionKind kind, int stage) const {
  const bool back_up = is_v_shaped(shape_.schedule) && stage >= shape_.ranks;
  return (kind == ActionKind::kForward) != back_up;
}

std::vector<std::size_t> PipelinePlan::arrivals(int rank, bool from_previous) {
  const int p = shape_.ranks, peer = (rank + (from_previous ? p - 1 : 1)) % p;
  std::vector<std::size_t> indices;
  if (peer == rank) return indices;
  for (const Action& sent : actions(peer)) {
    const int stage = stage_at(shape_, peer, sent.chunk);
    const std::optional<int> to = target(sent.kind, stage);
    if (!to || goes_to_next(sent.kind, stage) != from_previous) continue;
    const Place taken = place(sent.kind == ActionKind::kForward, *to, sent.micro_batch);
    if (taken.rank == rank) indices.push_back(taken.index);
  }
  return indices;
}

std::optional<std::size_t> PipelinePlan::delivered_at(int rank, std::size_t index) {
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
