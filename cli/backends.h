#pragma once
// The backends that commands can run programs on.
//
//   const BackendFactory backends = backend_factory({.name = "cuda"});

#include <optional>
#include <string>

#include "core/engine/trainer.h"
#include "kernels/cuda/cuda_backend.h"

namespace shardscope::cli {

struct BackendChoice {
  std::string name = "cpu";  ///< cpu or cuda
  bool share_gpu = false;    ///< several ranks on one GPU, for tests
};

/// The first GPU that ranks run on; nothing: this machine's cores. Throws Error: no GPU.
std::optional<CudaDevice> gpu_of(const BackendChoice& choice);

/// For each rank of this process a backend. Throws Error: no such backend in this build, no GPU.
BackendFactory backend_factory(const BackendChoice& choice);

}  // namespace shardscope::cli
