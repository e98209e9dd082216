#pragma once
// The backends that commands can run programs on.
//
//   const BackendFactory backends = backend_factory("cuda", {.ranks = 4});

#include <cstdint>
#include <optional>
#include <string>

#include "core/engine/trainer.h"

namespace shardscope::cli {

struct BackendChoice {
  std::string name = "cpu";  ///< cpu or cuda
  bool share_gpu = false;    ///< several ranks on one GPU, for tests
};

/// The GPU that ranks run on; nothing: this machine's cores. Throws Error: no GPU.
struct Gpu {
  std::string name;  ///< as the driver calls it: "NVIDIA H100 80GB HBM3"
  std::int64_t memory_bytes = 0;
};
std::optional<Gpu> gpu_of(const BackendChoice& choice);

/// For each rank of this process a backend. Throws Error: no such backend in this build, no GPU.
BackendFactory backend_factory(const BackendChoice& choice);

}  // namespace shardscope::cli
