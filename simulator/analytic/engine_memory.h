#pragma once
// What our own engine holds on a device at the peak: the moments of a step at which its program may be fullest, each
// summed from the lifetimes that core/program/passes give buffers in the textbook mode.
//
//   fill_engine_memory(estimate, plan, stage, costs, framework, parameters, copies);
//
// Moments: the head's backward, backward of the stage's last block and of its first, the end of the first bucket,
// the update. Left out: biases, statistics of norms, tokens, messages in flight, padding: together below 2 % of what
// was seen (tests/two_levels_test.cpp).

#include "simulator/analytic/engine_held.h"
#include "simulator/analytic/memory_model.h"

namespace shardscope {

/// `chunks`: of a pipeline that does not go 1F1B through one stage a rank; else null.
void fill_engine_memory(Estimate&, const Plan&, const Stage&, const ModelCosts&, const FrameworkSpec&,
                        const StageParameters&, const Copies&, const HeldChunks* chunks);

}  // namespace shardscope
