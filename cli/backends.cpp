#include "cli/backends.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <optional>

#include "cli/find_library.h"
#include "core/error.h"
#include "kernels/cpu/cpu_backend.h"
#ifdef SHARDSCOPE_HAS_CUDA
#include "kernels/cuda/module/module.h"
#endif

namespace shardscope::cli {
namespace {

#ifdef SHARDSCOPE_HAS_CUDA
const CudaModule& load_cuda_module() {
  const std::string path = find_library(kCudaLibrary);
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    throw Error(ErrorKind::kDevice, fmt::format("the CUDA backend cannot be loaded: {}", dlerror()));
  const auto entry = reinterpret_cast<const CudaModule* (*)()>(dlsym(library, "shardscope_cuda_module"));
  if (entry == nullptr || entry()->build != cuda_module_build()) {
    throw Error(ErrorKind::kConfig, fmt::format("{} is of another build than this program; build both anew", path));
  }
  return *entry();
}

/// Once and for good: CUDA's libraries are not made to be unloaded.
const CudaModule& cuda_module() {
  static const CudaModule& module = load_cuda_module();
  return module;
}

/// A process's place on its machine, as launchers say it: torchrun, Open MPI, MPICH and Intel's, Slurm.
std::optional<int> local_rank() {
  for (const char* name : {"LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"}) {
    const char* const text = std::getenv(name);
    if (text == nullptr || *text == '\0') continue;
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (*end == '\0' && value >= 0 && value < 1 << 20) return static_cast<int>(value);
  }
  return std::nullopt;
}

BackendFactory cuda_factory(bool share_gpu) {
  const CudaModule& module = cuda_module();
  const int devices = static_cast<int>(module.devices().size());  // throws if there is none
  return [&module, devices, share_gpu, place = local_rank()](int rank, int threads) {
    const int device = place.value_or(rank) % devices;
    return module.make_backend({.device = device, .host_threads = threads, .shares_device = share_gpu});
  };
}
#else
BackendFactory cuda_factory(bool /*share_gpu*/) {
  throw Error(ErrorKind::kUnsupported,
              "backend: this program was built without the CUDA toolkit and NCCL; \"cpu\" runs the same programs");
}
#endif

}  // namespace

std::optional<CudaDevice> gpu_of([[maybe_unused]] const BackendChoice& choice) {
#ifdef SHARDSCOPE_HAS_CUDA
  if (choice.name == "cuda") return cuda_module().devices().front();
#endif
  return std::nullopt;
}

BackendFactory backend_factory(const BackendChoice& choice) {
  if (choice.name == "cuda") return cuda_factory(choice.share_gpu);
  return [](int /*rank*/, int threads) { return make_cpu_backend(threads); };
}

}  // namespace shardscope::cli
