#include "cli/backends.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "cli/find_library.h"
#include "core/engine/arena.h"
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

int device_of(int rank, std::optional<int> place, int devices) { return place.value_or(rank) % devices; }

BackendFactory cuda_factory(const BackendChoice& choice) {
  const CudaModule& module = cuda_module();
  const int devices = static_cast<int>(module.devices().size());  // throws if there is none
  return [&module, devices, choice, place = local_rank()](int rank, int threads) {
    const int device = device_of(rank, place, devices);
    return module.make_backend({.device = device,
                                .host_threads = threads,
                                .tf32 = choice.tf32,
                                .shares_device = choice.share_gpu,
                                .graphs = choice.graphs});
  };
}
#else
BackendFactory cuda_factory(const BackendChoice& /*choice*/) {
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

std::string gpu_text([[maybe_unused]] const BackendChoice& choice, [[maybe_unused]] int rank) {
#ifdef SHARDSCOPE_HAS_CUDA
  if (choice.name == "cuda") {
    const std::vector<CudaDevice> devices = cuda_module().devices();
    const int device = device_of(rank, local_rank(), static_cast<int>(devices.size()));
    const CudaDevice& gpu = devices[static_cast<std::size_t>(device)];
    return fmt::format("{}, {}", gpu.name, format_bytes(gpu.memory_bytes));
  }
#endif
  return "";
}

std::string describe_mixed_gpus(const std::vector<std::string>& texts) {
  const auto other = std::find_if(texts.begin(), texts.end(), [&](const auto& text) { return text != texts.front(); });
  if (other == texts.end()) return "";
  return fmt::format(
      "the ranks' GPUs differ: rank 0 has {}, rank {} {}; a step takes as long as on the slowest of them, "
      "and the prediction is that of rank 0's",
      texts.front(), other - texts.begin(), *other);
}

BackendFactory backend_factory(const BackendChoice& choice) {
  if (choice.name == "cuda") return cuda_factory(choice);
  if (choice.tf32) throw Error(ErrorKind::kConfig, "--tf32: only --backend cuda has it");
  if (!choice.graphs) throw Error(ErrorKind::kConfig, "--no-graphs: only --backend cuda has graphs");
  return [](int /*rank*/, int threads) { return make_cpu_backend(threads); };
}

}  // namespace shardscope::cli
