#include "simulator/analytic/engine_held.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "core/program/passes/messages.h"

namespace shardscope {
namespace {

double sum(const std::vector<double>& list) { return std::accumulate(list.begin(), list.end(), 0.0); }

/// Whether a chunk at `a` has all gradients that it has at `b`, also where complete ones leave the device.
bool has_gradients_of(std::uint8_t a, std::uint8_t b) {
  return a == b || (a == HeldMoment::kComplete ? b == 0 : b == HeldMoment::kComplete ? a == 2 : a > b);
}

/// Whether `b` has nothing that `a` has not too. Chunks are alike, but for the first and the last of a rank.
bool covers(const HeldMoment& a, const HeldMoment& b) {
  if (a.chunk != b.chunk || a.kind != b.kind || a.sent < b.sent) return false;
  if (sum(a.held) < sum(b.held) || sum(a.pending) < sum(b.pending)) return false;
  if (a.held.front() < b.held.front() || a.held.back() < b.held.back()) return false;
  for (std::size_t c = 0; c < a.begun.size(); ++c) {
    if (!has_gradients_of(a.begun[c], b.begun[c])) return false;
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
  std::vector<int> left(chunks, shape.micro_batches);  // whose gradients are still to come
  std::vector<double> arrive(actions.size() + 1);      // by action: sent messages that are known to have arrived then
  for (std::size_t i = 0; i < actions.size(); ++i) {
    const Action& a = actions[i];
    now.sent -= arrive[i];
    const auto c = static_cast<std::size_t>(a.chunk);
    now.kind = a.kind, now.chunk = a.chunk;
    const bool completes = a.kind != ActionKind::kForward && a.kind != ActionKind::kInput && --left[c] == 0;
    const std::uint8_t whole = completes ? HeldMoment::kComplete : 2;
    if (a.kind == ActionKind::kForward) {
      ++now.held[c];
      add(all, now);
    } else if (a.kind == ActionKind::kWeight) {
      add(all, now);
      --now.pending[c], now.begun[c] = whole;
    } else {
      const bool puts_off = a.kind == ActionKind::kInput;
      add(all, now);
      --now.held[c];
      now.begun[c] = puts_off ? std::max<std::uint8_t>(now.begun[c], 1) : whole;
      if (puts_off) ++now.pending[c];
    }
    const std::optional<int> target = plan.target(a.kind, stage_at(shape, rank, a.chunk));
    if (!target || owner_of(shape, *target).rank == rank) continue;
    ++now.sent;
    ++arrive[plan.delivered_at(rank, i).value_or(actions.size())];
  }
  return all;
}

}  // namespace

bool can_walk(const PipelineShape& shape) {
  const bool whole = shape.schedule != PipelineSchedule::kInterleaved || shape.micro_batches % shape.ranks == 0;
  const bool enough = !is_v_shaped(shape.schedule) || shape.micro_batches >= 2 * shape.ranks;
  return whole && enough && shape.stages() * shape.ranks <= kMostWalked;
}

PipelineShape shortened(const PipelineShape& shape) {
  PipelineShape few = shape;
  // What is in the middle of GPipe's two passes goes on with every micro-batch; V-shaped schedules need 2 p at least.
  const int pipelines = shape.schedule == PipelineSchedule::kGpipe ? 2 : is_v_shaped(shape.schedule) ? 4 : 3;
  few.micro_batches = std::min(shape.micro_batches, pipelines * shape.ranks);
  return few;
}

/// When backward begins, and the moment after, when there are gradients but one micro-batch less may be held.
const std::vector<HeldMoment>& HeldTable::by_formula(const PipelineShape& s, int rank) {
  const auto chunks = static_cast<std::size_t>(s.chunks);
  const int p = s.ranks, behind = p - 1 - rank, all = s.micro_batches * s.chunks;
  const int units = std::min(all, s.schedule == PipelineSchedule::kGpipe  ? all
                                  : s.schedule == PipelineSchedule::k1F1B ? behind + 1
                                                                          : 2 * behind + (s.chunks - 1) * p + 1);
  const int round = p * s.chunks, rest = units % round;  // p micro-batches of each chunk in turn
  const std::size_t first = all > units ? 1 : 0;         // the moment after says as much
  std::vector<HeldMoment>& few = first > 0 ? steady_ : few_;
  few.resize(3 - first);
  for (std::size_t i = 0; i < few.size(); ++i) {
    HeldMoment& m = few[i];
    const std::size_t at = i == 0 ? 0 : i + first;
    m.kind = i == 0 ? ActionKind::kForward : ActionKind::kBackward;
    m.chunk = i == 0 ? (units - 1) % round / p : s.chunks - 1;
    // Nobody has said yet that messages came; later the last one to each side may still be on its way.
    m.sent = i == 0 ? (behind > 0 || s.chunks > 1 ? units - 1 : 0)
                    : (rank > 0 && at > 1 ? 1 : 0) + (behind > 0 && all > units ? 1 : 0);
    m.held.resize(chunks), m.pending.assign(chunks, 0), m.begun.assign(chunks, at == 2 || all > units ? 2 : 0);
    for (int c = 0; c < s.chunks; ++c) {
      m.held[static_cast<std::size_t>(c)] = s.chunks == 1 ? units : units / round * p + std::clamp(rest - c * p, 0, p);
    }
  }
  if (s.chunks == 1) few[0].chunk = 0;
  // Where no forward comes between the first two backwards.
  if (all == units) few.back().held.back() = std::max(1.0, few.back().held.back() - 1);
  if (all == 1) few.back().begun.back() = 0;
  return few;
}

const std::vector<HeldMoment>& HeldTable::of(const PipelineShape& whole, int rank) {
  const bool is_plain = whole.schedule == PipelineSchedule::k1F1B || whole.schedule == PipelineSchedule::kGpipe;
  if (is_plain || !can_walk(whole)) return by_formula(whole, rank);
  const std::pair key{shortened(whole), rank};
  const auto found = known_.find(key);
  return found != known_.end() ? found->second : known_.emplace(key, moments_of(key.first, rank)).first->second;
}

}  // namespace shardscope
