#pragma once
// Bytes of a rank at the peak, term by term, from a plan and the costs of its parts.

#include "simulator/analytic/stages.h"

namespace shardscope {

/// Parameters of one rank in this stage: those copied over all of data parallelism, and the experts'.
struct StageParameters {
  double shared = 0, experts = 0;
  double all() const { return shared + experts; }
};
StageParameters parameters_of(const ModelCosts&, const Stage&, const ModelSpec&);

/// Ranks that hold copies of the same state, and so can share it.
struct Copies {
  double shared = 1, experts = 1;
};
/// `engine`: our own, whose experts are dealt out among replicas only and split by tensor parallelism.
Copies copies_of(const Plan&, bool engine);

/// Micro-batches whose activations the stage holds at once, in units of the whole stage.
double in_flight(const Plan&, const Stage&);

/// Ranks among `copies` that share state which ZeRO shards from `at_stage` on. `shard`: Plan::shard.
double shards_of(double copies, int zero, int at_stage, int shard);

/// Parameters whose state one rank has, of what ZeRO shards from `at_stage` on: bytes and the update's time go by it.
double own_parameters(const StageParameters&, const Plan&, bool engine, int at_stage);

inline constexpr double kBlasWorkspace = 33.0 * 1024 * 1024;  ///< bytes of cuBLAS. Guess

struct EngineParts;

/// Fills bytes, allocated, reserved, used, at_start and the host's bytes.
void fill_memory(Estimate&, const Plan&, const Stage&, const ModelCosts&, const Workload&, const Target&,
                 const FrameworkSpec&, const FrameworkConstants&, const EngineParts* engine = nullptr);

}  // namespace shardscope
