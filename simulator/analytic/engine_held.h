#pragma once
// What a rank of a pipeline holds at once under any schedule: micro-batches of each of its chunks whose activations
// wait for backward, and those whose halves of weights are put off.
//
//   HeldTable table;                                        // made once for each schedule
//   for (const HeldMoment& m : table.of(shape, rank)) ... m.held[chunk]

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "core/program/schedule.h"
#include "simulator/analytic/stages.h"

namespace shardscope {

/// A rank goes through `chunk`; what is in work is still held, or pending. Moments at which nothing more is held than
/// at another one are left out.
struct HeldMoment {
  ActionKind kind = ActionKind::kForward;
  int chunk = 0;
  double sent = 0;           ///< messages that have left, but may not have arrived yet (core/program/passes/messages.h)
  std::vector<double> held;  ///< by chunk
  std::vector<double> pending;  ///< by chunk: whose weights are put off
  /// By chunk: 2 has gradients already, 1 those that are not put off (norms, biases), kComplete those of all
  /// micro-batches.
  std::vector<std::uint8_t> begun;
  static constexpr std::uint8_t kComplete = 3;
};

/// Stages times ranks of schedules that are gone through action by action: the planner asks often.
inline constexpr int kMostWalked = 128;

/// Whether the micro-batches suit the schedule, and going through it is worth its time.
bool can_walk(const PipelineShape& shape);

/// Fewer micro-batches than a long schedule has, among which there are some that go on as all the rest do.
PipelineShape shortened(const PipelineShape& shape);

class HeldTable {
 public:
  /// Allocates when a schedule is first met. 1F1B, GPipe and interleaved stages by formula, all others action by
  /// action; what comes back is valid until the next call.
  const std::vector<HeldMoment>& of(const PipelineShape& shape, int rank);

 private:
  const std::vector<HeldMoment>& by_formula(const PipelineShape& shape, int rank);

  std::map<std::pair<PipelineShape, int>, std::vector<HeldMoment>> known_;
  std::vector<HeldMoment> few_, steady_;  ///< kept for their memory
};

/// Of one rank: its stages are `stages` [stage_at(shape, rank, chunk)]; or it has `whole` only.
struct HeldChunks {
  PipelineShape shape;
  int rank = 0;
  const std::vector<Stage>* stages = nullptr;
  const Stage* whole = nullptr;
  const std::vector<HeldMoment>* moments = nullptr;
  const Stage& chunk(int c) const {
    return stages == nullptr ? *whole : (*stages)[static_cast<std::size_t>(stage_at(shape, rank, c))];
  }
};

}  // namespace shardscope
