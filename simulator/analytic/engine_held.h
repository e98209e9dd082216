#pragma once
// What a rank of a pipeline holds at once under any schedule: micro-batches of each of its chunks whose activations
// wait for backward, and those whose halves of weights are put off.
//
//   HeldTable table;                                        // made once for each schedule
//   for (const HeldMoment& m : table.of(shape, rank)) ... m.held[chunk]

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "core/program/schedule.h"
#include "simulator/analytic/stages.h"

namespace shardscope {

/// When a rank goes backward through `chunk`. Moments at which nothing more is held than at another one are left out.
struct HeldMoment {
  int chunk = 0;
  double sent = 0;           ///< messages that have left, but may not have arrived yet (core/program/passes/messages.h)
  bool puts_off = false;     ///< the halves of weights
  std::vector<double> held;  ///< by chunk, the micro-batch in work among them
  std::vector<double> pending;      ///< by chunk: whose weights are put off
  std::vector<std::uint8_t> begun;  ///< by chunk: 2 has gradients already, 1 those that are not put off (norms, biases)
};

/// Fewer micro-batches than a long schedule has, which hold as much.
PipelineShape shortened(const PipelineShape& shape);

class HeldTable {
 public:
  /// Allocates when a schedule is first met.
  const std::vector<HeldMoment>& of(const PipelineShape& shape, int rank);

 private:
  std::unordered_map<std::uint64_t, std::vector<HeldMoment>> known_;
};

/// Of one rank: its stages are `stages` [stage_at(shape, rank, chunk)].
struct HeldChunks {
  PipelineShape shape;
  int rank = 0;
  const std::vector<Stage>* stages = nullptr;
  const std::vector<HeldMoment>* moments = nullptr;
  const Stage& chunk(int c) const { return (*stages)[static_cast<std::size_t>(stage_at(shape, rank, c))]; }
};

}  // namespace shardscope
