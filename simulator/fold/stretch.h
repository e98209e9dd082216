#pragma once
// A long schedule's segments from those of a shorter one: where the short one repeats itself, the long one goes on.
//
//   int few = fewer_micro_batches(shape, rank, /*try_number=*/0);    // 0: the whole schedule is not much longer
//   auto all = stretch(make_script(shape, rank, few), split, make_script(shape, rank, shape.micro_batches), store);
//
// Why that is exact: what layers, zero and the passes after them make of an action depends on the actions around it,
// and so does its memory. Without a pipeline each micro-batch begins with the memory of the one before it; in one,
// lifetimes takes what was given back last at each size, so that the order of Allocs and Frees alone says whose memory
// an op waits for. What can be seen of it is checked: schedule and segments repeat before the place where periods go
// in, and nothing behind it waits for what lies before those repeats or for whoever happened to have its bytes
// (chance_waits.h).

#include <optional>
#include <vector>

#include "core/program/schedule.h"
#include "simulator/fold/segment.h"

namespace shardscope {

/// A rank's schedule, neighbouring actions of one direction and micro-batch joined; a first and a last step around it.
struct ScriptStep {
  SegmentLabel label;
  std::uint32_t actions = 0;  ///< which they are, as one number
};
using Script = std::vector<ScriptStep>;
Script make_script(PipelineShape shape, int rank, int micro_batches);

/// Fewer micro-batches than the shape's that should show how the rank's schedule goes on, more at each try; 0 if that
/// saves little.
int fewer_micro_batches(const PipelineShape& shape, int rank, int try_number);

/// The segments of `all`, or nothing if `few`, split, does not show how it goes on.
std::optional<std::vector<int>> stretch(const Script& few, const SplitProgram& split, const Script& all,
                                        const SegmentStore& store);

}  // namespace shardscope
