#pragma once
// What our own engine holds on a device at the peak: the moments of a step at which its program may be fullest, each
// summed from what the tapes say of activations (activation_tape.h) and from the lifetimes that core/program/passes
// give gradients, buckets and gathered parameters in the textbook mode.
//
//   fill_engine_memory(estimate, {plan, stage, costs, framework, parameters, copies, {tapes, buckets, chunks,
//   memory}});
//
// Moments: forward and backward of each chunk of a pipeline, at the head, the last blocks and the first; the end of a
// bucket; the update. Left out: padding, and scalars.

#include "simulator/analytic/activation_tape.h"
#include "simulator/analytic/engine_buckets.h"
#include "simulator/analytic/engine_held.h"
#include "simulator/analytic/memory_model.h"

namespace shardscope {

/// Of a micro-batch in one chunk: bytes that forward leaves, and those that wait for weights' gradients.
struct ChunkBytes {
  double kept = 0, put_off = 0;
};

/// Where a rank's memory comes from, beside its plan.
struct EngineParts {
  const ModelTapes& tapes;
  const Buckets& buckets;
  const HeldChunks& chunks;
  std::vector<ChunkBytes>& by_chunk;  ///< filled here; the caller's for its memory
};

struct EngineRank {
  const Plan& plan;
  const Stage& stage;  ///< all its chunks together
  const ModelCosts& costs;
  const FrameworkSpec& framework;
  const StageParameters& parameters;
  const Copies& copies;
  const EngineParts& parts;
};

void fill_engine_memory(Estimate&, const EngineRank&);

/// From what the costs say of a block, where there is no program to read.
ModelTapes guess_tapes(const ModelCosts&);

}  // namespace shardscope
