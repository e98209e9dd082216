#pragma once
// Bytes that activations take in our own engine, part by part of a model and pass by pass: read off the program of a
// few blocks, so that the closed form knows every buffer that the passes of lower() make.
//
//   std::optional<ModelTapes> tapes = read_tapes(workload, shape, /*halves=*/false);
//   tapes->dense.backward.peaks[0].bytes      // above what there was when the block's backward began
//
// Bytes are proportional to the micro-batch, so that one or two sequences are lowered at most. Not counted: parameters,
// their gradients, optimizer state.

#include <array>
#include <optional>

#include "simulator/analytic/block_costs.h"

namespace shardscope {

/// An instant of a pass at which more is live than at any later one.
struct TapePeak {
  double bytes = 0;                            ///< above the pass's start
  double again = 0;                            ///< of these, computed again
  double gradients = 0, expert_gradients = 0;  ///< elements of parameters whose gradients have begun
};

struct Tape {
  std::array<TapePeak, 4> peaks;  ///< in the order of time
  int count = 0;
  double net = 0;  ///< bytes that are left more at the end
  /// When the last gradient is there that is not of a small tensor, of experts or not: what was read for it is gone.
  TapePeak complete, experts_complete;
};

/// Backward as a whole, or in the halves of schedules that put weights off. It begins with the gradient of its result.
struct PartTapes {
  Tape forward, backward, input, weight;
};

struct ModelTapes {
  PartTapes embedding, dense, mixture, head;
  bool has_halves = false;
};

/// Tensors of no more elements are whole under ZeRO-3 (stage3_param_persistence_threshold, its default).
inline constexpr std::int64_t kSmallTensor = 100'000;

/// Two sequences say all of a micro-batch: bytes are proportional to it, but one alone needs no copies by sequence.
inline constexpr std::int64_t kReadMicroBatch = 2;
ModelTapes scaled(ModelTapes, double times);

/// Empty for models that no program is built for. `halves`: also those passes.
std::optional<ModelTapes> read_tapes(const Workload&, const BlockShape&, bool halves);

}  // namespace shardscope
