#pragma once
// Ops that follow each other on a lane in every step, launched as CUDA graphs: a call in place of a few hundred. The
// first run launches each op, which allocates what is to be allocated and shows which ops ask for numbers of the step;
// the second captures; later ones replay. Kernels read tokens and places in the cache from device memory, and addresses
// are the program's, so nothing in a graph is of one step.
//
//   OpGraphs graphs(ops, memory, Lane::kCompute, {lane_state, lane_progress});
//   graphs.run(scalars);   // on the lane's thread, once a step
//
// Launched one by one as ever, between two graphs: ops that ask for numbers of the step (Kernel::scalars()), ops in
// pageable host memory, and stretches of less than kLeast ops.

#include <cuda_runtime.h>

#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "core/engine/backend.h"
#include "kernels/cuda/launch.h"

namespace shardscope::cuda {

class OpGraphs final : public OpSequence {
 public:
  OpGraphs(std::span<const Op* const> ops, const Memory& memory, Lane lane, const DeviceLane& to)
      : ops_(ops.begin(), ops.end()), memory_(memory), lane_(lane), to_(to) {}
  Lane lane() const { return lane_; }
  void run(const StepScalars& scalars);
  LaunchCounts counts() const override;

  /// Guess: to launch a graph costs what it costs to launch about three kernels.
  static constexpr std::size_t kLeast = 4;
  /// So that who watches for hangs (lane_progress.h) sees a long step get on.
  static constexpr std::size_t kMost = 256;

 private:
  struct Destroy {
    void operator()(cudaGraphExec_t graph) const { (void)cudaGraphExecDestroy(graph); }
  };
  struct Stretch {
    std::size_t first = 0, count = 0;
    bool in_graph = false;
    std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, Destroy> graph;
    const std::byte* scratch = nullptr;  ///< of the lane, as the graph has it
  };

  void run_first(const StepScalars& scalars);
  void split(const std::vector<bool>& fits);
  void capture(Stretch& stretch, const StepScalars& scalars) const;
  void replay(const Stretch& stretch) const;

  std::vector<const Op*> ops_;
  const Memory& memory_;
  Lane lane_;
  DeviceLane to_;
  std::vector<Stretch> stretches_;  ///< of all ops, in order; empty before the first run
};

}  // namespace shardscope::cuda
