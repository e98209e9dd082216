#pragma once
// The CUDA backend as a library that is loaded only when it is asked for, so that one program runs with and without
// CUDA's libraries. Built from the same sources as the program that loads it, or refused.
//
//   auto module = reinterpret_cast<const CudaModule* (*)()>(dlsym(library, "shardscope_cuda_module"))();
//   if (module->build != cuda_module_build()) ...

#include <memory>
#include <string>
#include <vector>

#include "core/engine/communicator.h"
#include "core/program/program.h"
#include "kernels/cuda/cuda_backend.h"

namespace shardscope {

/// What must be the same on both sides: the layout of what passes between them.
inline std::string cuda_module_build() {
  std::string text;
  for (const std::size_t part : {sizeof(Program), sizeof(Instruction), std::variant_size_v<Op>, sizeof(CudaOptions),
                                 sizeof(Memory), sizeof(StepScalars)}) {
    text += std::to_string(part) + " ";
  }
  return text;
}

struct CudaModule {
  std::string build;
  std::unique_ptr<Backend> (*make_backend)(const CudaOptions&);
  std::vector<CudaDevice> (*devices)();
};

}  // namespace shardscope
