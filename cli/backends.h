#pragma once
// The backends that commands can run programs on.
//
//   const BackendFactory backends = backend_factory("cuda", {.ranks = 4});

#include <string>

#include "core/engine/trainer.h"

namespace shardscope::cli {

struct BackendChoice {
  std::string name = "cpu";  ///< cpu or cuda
  bool share_gpu = false;    ///< several ranks on one GPU, for tests
};

/// For each rank of this process a backend. Throws Error: no such backend in this build, no GPU.
BackendFactory backend_factory(const BackendChoice& choice);

}  // namespace shardscope::cli
