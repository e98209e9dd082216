#pragma once
// The backends that commands can run programs on.
//
//   const BackendFactory backends = backend_factory({.name = "cuda"});

#include <optional>
#include <string>
#include <vector>

#include "core/engine/trainer.h"
#include "kernels/cuda/cuda_backend.h"

namespace shardscope::cli {

struct BackendChoice {
  std::string name = "cpu";  ///< cpu or cuda
  bool share_gpu = false;    ///< several ranks on one GPU, for tests
  bool tf32 = false;         ///< fp32 products on a GPU round their operands
  bool graphs = true;        ///< a GPU's ops are launched as CUDA graphs where they can be
};

/// The first GPU that ranks run on; nothing: this machine's cores. Throws Error: no GPU.
std::optional<CudaDevice> gpu_of(const BackendChoice& choice);

/// What stands against the GPU of that rank of this process: "NVIDIA H100 80GB HBM3, 79.6 GiB"; empty: a CPU.
std::string gpu_text(const BackendChoice& choice, int rank);
/// One line where ranks have different GPUs (`texts` by rank); empty: they are alike.
std::string describe_mixed_gpus(const std::vector<std::string>& texts);

/// For each rank of this process a backend. Throws Error: no such backend in this build, no GPU.
BackendFactory backend_factory(const BackendChoice& choice);

}  // namespace shardscope::cli
