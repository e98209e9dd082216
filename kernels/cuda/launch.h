#pragma once
// One op to its lane's stream, on the lane's thread: what launching ops one by one and capturing them have in common.
//
//   const bool repeats = launch(op, memory, scalars, {lane_state, lane_progress});

#include <utility>

#include "core/engine/hub.h"
#include "kernels/cuda/kernel.h"
#include "kernels/cuda/lane_progress.h"
#include "kernels/cuda/op_range.h"

namespace shardscope::cuda {

/// What `work` throws is said to be of the op.
template <class Work>
void name_errors(const Program& program, const Op& op, Work&& work) {
  try {
    std::forward<Work>(work)();
  } catch (const PeerStopped&) {
    throw;
  } catch (const Error& error) {
    throw Error(error.kind(), describe(program, op) + ": " + error.what());
  }
}

/// What an op is launched into.
struct DeviceLane {
  LaneState& state;
  LaneProgress& progress;
};

/// Whether it would launch the same in any step: its kernels took no number of this one.
bool launch(const Op& op, const Memory& memory, const StepScalars& scalars, const DeviceLane& lane);
/// While the stream captures. The op must be one that launches the same in any step.
void launch_into_graph(const Op& op, const Memory& memory, const StepScalars& scalars, const DeviceLane& lane);

}  // namespace shardscope::cuda
