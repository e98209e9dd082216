#include "simulator/analytic/engine_pipeline.h"

#include <algorithm>

namespace shardscope {

namespace {

constexpr std::size_t kMostWalked = 8;  // stages: p^2 actions are walked, and the planner asks often

}  // namespace

void PipelineWalk::add(const WalkedStage& stage, double count) {
  stages_.insert(stages_.end(), static_cast<std::size_t>(count), stage);
}

/// The longest over stages s of
///   stages before + m micro-batches of s + max(0, A - k F) + max(0, A - k B), but one micro-batch at least waits for
///   A,
/// A: one micro-batch in the k stages behind s, which works on k ahead while the first comes back and is k behind at
/// the end; equal stages give (m + p - 1)(F + B). What a stage receives counts as its own.
double PipelineWalk::formula(double m, const Messages& messages) const {
  const std::size_t p = stages_.size();
  const auto forward = [&](std::size_t s) { return stages_[s].forward + (s > 0 ? messages.send : 0); };
  const auto backward = [&](std::size_t s) {
    return stages_[s].backward + (s + 1 < p && messages.gradients_wait ? messages.send : 0);
  };
  double behind = 0, before = 0, longest = 0;
  for (std::size_t s = 0; s < p; ++s) behind += forward(s) + backward(s) - (s + 1 < p ? stages_[s].early : 0);
  for (std::size_t s = 0; s < p; ++s) {
    const double f = forward(s), b = backward(s), own = f + b, early = s + 1 < p ? stages_[s].early : 0;
    behind = std::max(0.0, behind - own + early);
    const auto k = static_cast<double>(p - s - 1);
    const double waits = std::max(0.0, behind - early - k * f) + std::max(0.0, behind - early - k * b);
    longest = std::max(longest, before + m * own + (m > 1 ? waits : std::max(0.0, behind - early)));
    before += own - early;
  }
  return longest;
}

/// The next forward or backward of a stage, whose input was made already.
void PipelineWalk::act(std::size_t stage, bool forward, const Messages& messages) {
  const WalkedStage& s = stages_[stage];
  Turn& turn = turns_[stage];
  const std::size_t n = forward ? turn.forwards++ : turn.backwards++;
  const std::size_t source = forward ? stage - 1 : stage + 1;
  const bool receives = forward ? stage > 0 : stage + 1 < stages_.size();
  std::vector<double>& ends = forward ? forward_ends_ : backward_ends_;
  double start = turn.end;
  if (receives) {
    const double room = forward || messages.gradients_wait ? turn.end : turn.before;
    const double arrived = std::max(ends[source * micro_batches_ + n], room) + messages.send;
    start = std::max(turn.end, arrived - (forward ? 0 : s.early));
  }
  turn.before = turn.end;
  turn.end = ends[stage * micro_batches_ + n] = start + (forward ? s.forward : s.backward);
}

/// Round n: stage r does forward n, then the backward that it is p - r - 1 behind with. So all inputs are there.
void PipelineWalk::walk(std::size_t micro_batches, const Messages& messages) {
  const std::size_t p = stages_.size();
  micro_batches_ = micro_batches;
  turns_.assign(p, {});
  forward_ends_.resize(p * micro_batches), backward_ends_.resize(p * micro_batches);
  for (std::size_t n = 0; n < micro_batches + p - 1; ++n) {
    for (std::size_t r = 0; r < p; ++r) {
      const std::size_t ahead = p - r - 1;
      if (n < micro_batches) act(r, true, messages);
      if (n >= ahead && n - ahead < micro_batches) act(r, false, messages);
    }
  }
}

double PipelineWalk::length(double micro_batches, const Messages& messages) {
  const std::size_t p = stages_.size();
  if (p > kMostWalked) return formula(micro_batches, messages);
  const std::size_t walked = std::min(static_cast<std::size_t>(micro_batches), 3 * p);
  walk(walked, messages);
  const double end = backward_ends_[walked - 1];
  if (walked < 3 * p) return end;
  const double period = (backward_ends_[2 * p] - backward_ends_[p]) / static_cast<double>(p);  // of the first stage
  return end + (micro_batches - static_cast<double>(walked)) * period;
}

}  // namespace shardscope
