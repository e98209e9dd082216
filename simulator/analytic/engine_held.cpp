#include "simulator/analytic/engine_held.h"

#include <algorithm>
#include <optional>

#include "core/program/passes/messages.h"

namespace shardscope {
namespace {

/// Whether `b` has nothing that `a` has not too.
bool covers(const HeldMoment& a, const HeldMoment& b) {
  if (a.chunk != b.chunk || a.puts_off != b.puts_off || a.sent < b.sent) return false;
  for (std::size_t c = 0; c < a.held.size(); ++c) {
    if (a.held[c] < b.held[c] || a.pending[c] < b.pending[c] || a.begun[c] < b.begun[c]) return false;
  }
  return true;
}

void add(std::vector<HeldMoment>& all, const HeldMoment& moment) {
  if (std::any_of(all.begin(), all.end(), [&](const HeldMoment& other) { return covers(other, moment); })) return;
  std::erase_if(all, [&](const HeldMoment& other) { return covers(moment, other); });
  all.push_back(moment);
}

std::vector<HeldMoment> moments_of(const PipelineShape& shape, int rank) {
  std::vector<HeldMoment> all;
  const auto chunks = static_cast<std::size_t>(shape.chunks);
  HeldMoment now{.held = std::vector<double>(chunks),
                 .pending = std::vector<double>(chunks),
                 .begun = std::vector<std::uint8_t>(chunks)};
  PipelinePlan plan(shape);
  const std::vector<Action>& actions = plan.actions(rank);
  std::vector<double> arrive(actions.size() + 1);  // by action: sent messages that are known to have arrived then
  for (std::size_t i = 0; i < actions.size(); ++i) {
    const Action& a = actions[i];
    now.sent -= arrive[i];
    const auto c = static_cast<std::size_t>(a.chunk);
    if (a.kind == ActionKind::kForward) {
      ++now.held[c];
    } else if (a.kind == ActionKind::kWeight) {
      --now.pending[c], now.begun[c] = 2;
    } else {
      now.chunk = a.chunk, now.puts_off = a.kind == ActionKind::kInput;
      add(all, now);
      --now.held[c];
      now.begun[c] = now.puts_off ? std::max<std::uint8_t>(now.begun[c], 1) : 2;
      if (now.puts_off) ++now.pending[c];
    }
    const std::optional<int> target = plan.target(a.kind, stage_at(shape, rank, a.chunk));
    if (!target || owner_of(shape, *target).rank == rank) continue;
    ++now.sent;
    ++arrive[plan.delivered_at(rank, i).value_or(actions.size())];
  }
  return all;
}

}  // namespace

PipelineShape shortened(const PipelineShape& shape) {
  const int p = shape.ranks;
  PipelineShape few = shape;
  if (shape.schedule == PipelineSchedule::kGpipe) return few;  // holds all
  few.micro_batches = std::min(shape.micro_batches, (is_v_shaped(shape.schedule) ? 4 : 3) * p);
  return few;
}

const std::vector<HeldMoment>& HeldTable::of(const PipelineShape& whole, int rank) {
  const PipelineShape shape = shortened(whole);
  std::uint64_t key = 0;
  for (const int n : {static_cast<int>(shape.schedule), shape.ranks, shape.chunks, rank})
    key = key * 1021 + static_cast<std::uint64_t>(n);
  key = (key << 20U) + static_cast<std::uint64_t>(shape.micro_batches);
  const auto found = known_.find(key);
  return found != known_.end() ? found->second : known_.emplace(key, moments_of(shape, rank)).first->second;
}

}  // namespace shardscope
