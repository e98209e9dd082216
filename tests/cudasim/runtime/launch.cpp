// Launching kernels, and what can be asked about them.

#include <fmt/format.h>

#include <cstring>

#include "tests/cudasim/ptx/run.h"
#include "tests/cudasim/runtime/call.h"
#include "tests/cudasim/runtime/fatbin.h"
#include "tests/cudasim/runtime/limits.h"

namespace cudasim {

namespace {

u64 count(const dim3& d) { return static_cast<u64>(d.x) * d.y * d.z; }

bool valid_shape(const dim3& grid, const dim3& block) {
  return count(grid) > 0 && count(block) > 0 && count(block) <= kMostThreads && block.z <= 64 && grid.x <= 0x7fffffff &&
         grid.y <= 65535 && grid.z <= 65535;
}

/// What a streaming multiprocessor holds of such blocks at once; registers are not modelled.
int blocks_per_sm(const ptx::Kernel& kernel, u64 threads, u64 dynamic_shared) {
  const u64 by_threads = kThreadsPerSm / ((threads + 31) / 32 * 32);
  const u64 shared = kernel.static_shared + dynamic_shared + 1024;  // one KiB of each block is the system's
  return static_cast<int>(std::min({by_threads, u64{kBlocksPerSm}, kSharedPerSm / shared}));
}

cudaError_t launch(const void* function, dim3 grid, dim3 block, void** args, size_t shared, cudaStream_t handle,
                   bool cooperative) {
  Machine& m = machine();
  const int device = current_device();
  Stream* const stream = stream_of(handle);
  const ptx::Kernel& kernel = programs().kernel(function, device);
  if (!valid_shape(grid, block)) {
    m.reports.add(fmt::format("launch of {}: grid ({},{},{}) of blocks ({},{},{}) is not possible", kernel.name, grid.x,
                              grid.y, grid.z, block.x, block.y, block.z));
    return cudaErrorInvalidConfiguration;
  }
  const u64 static_and_dynamic = kernel.static_shared + shared;
  if (static_and_dynamic >
          std::max<u64>(programs().most_dynamic_shared(function) + kernel.static_shared, kSharedDefault) ||
      static_and_dynamic > kSharedMost) {
    m.reports.add(
        fmt::format("launch of {}: {} bytes of shared memory; more than 48 KiB need "
                    "cudaFuncAttributeMaxDynamicSharedMemorySize, and there are {}",
                    kernel.name, static_and_dynamic, kSharedMost));
    return cudaErrorInvalidValue;
  }
  if (cooperative &&
      count(grid) > static_cast<u64>(kSms) * static_cast<u64>(blocks_per_sm(kernel, count(block), shared))) {
    return cudaErrorCooperativeLaunchTooLarge;
  }
  auto params = std::make_shared<std::vector<u8>>(kernel.param_bytes + 8);
  for (size_t i = 0; i < kernel.params.size(); ++i) {
    std::memcpy(params->data() + kernel.params[i].offset, args[i], kernel.params[i].bytes);
  }
  const ptx::Launch how{grid, block, static_cast<u32>(shared), params->data(), device, cooperative, m.draw()};
  m.enqueue(
      stream, OperationKind::kKernel, kernel.name,
      [&m, &kernel, how, params](Operation& op) {
        ptx::Launch now = how;
        now.seed ^= static_cast<unsigned>(op.id);  // a graph's launches differ
        ptx::run(kernel, now, m, (m.settings.checks & kCheckStreamRace) != 0 ? &op.accesses : nullptr);
        return true;
      },
      [&](Operation& op) {
        op.kernel = {grid, block, kernel.static_shared, static_cast<u32>(shared), 32, kernel.local_bytes};
      });
  return cudaSuccess;
}

struct Pushed {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};
Pushed& pushed() {
  static thread_local Pushed one;
  return one;
}

/// The launch attributes that mean something here; any other is refused, so that none is ignored.
cudaError_t read_attributes(const cudaLaunchConfig_t& config, bool& cooperative) {
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    switch (attribute.id) {
      case cudaLaunchAttributeCooperative:
        cooperative = attribute.val.cooperative != 0;
        break;
      case cudaLaunchAttributeIgnore:
      case cudaLaunchAttributePriority:
      case cudaLaunchAttributeProgrammaticStreamSerialization:
        break;  // the stream's order is kept, which it allows
      case cudaLaunchAttributeClusterDimension:
        if (attribute.val.clusterDim.x * attribute.val.clusterDim.y * attribute.val.clusterDim.z == 1) break;
        [[fallthrough]];
      default:
        machine().reports.add(
            fmt::format("cudaLaunchKernelExC: attribute {} is not implemented", static_cast<int>(attribute.id)));
        return cudaErrorNotSupported;
    }
  }
  return cudaSuccess;
}

}  // namespace

}  // namespace cudasim

using namespace cudasim;

CUDASIM_API unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
  pushed() = {grid, block, shared, stream};
  return 0;
}
CUDASIM_API cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  *grid = pushed().grid;
  *block = pushed().block;
  *shared = pushed().shared;
  *static_cast<cudaStream_t*>(stream) = pushed().stream;
  return cudaSuccess;
}
CUDASIM_API cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}
CUDASIM_API cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** args, size_t shared,
                                         cudaStream_t stream) {
  return CUDASIM_CALL(cudaLaunchKernel, cudaLaunchKernel_v7000,
                      [&] { return launch(function, grid, block, args, shared, stream, false); });
}
CUDASIM_API cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** args, size_t shared,
                                           cudaStream_t stream) {
  return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, args, shared, stream);
}
CUDASIM_API cudaError_t cudaLaunchCooperativeKernel(const void* function, dim3 grid, dim3 block, void** args,
                                                    size_t shared, cudaStream_t stream) {
  return CUDASIM_CALL(cudaLaunchCooperativeKernel, cudaLaunchCooperativeKernel_v9000,
                      [&] { return launch(function, grid, block, args, shared, stream, true); });
}
CUDASIM_API cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void** args) {
  return CUDASIM_CALL(cudaLaunchKernelExC, cudaLaunchKernelExC_v11060, [&] {
    bool cooperative = false;
    if (const cudaError_t code = read_attributes(*config, cooperative); code != cudaSuccess) return code;
    return launch(function, config->gridDim, config->blockDim, args, config->dynamicSmemBytes, config->stream,
                  cooperative);
  });
}

CUDASIM_API cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  return CUDASIM_CALL(cudaFuncSetAttribute, cudaFuncSetAttribute_v9000, [&] {
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaErrorNotSupported;
    const u32 fixed = programs().kernel(function, current_device()).static_shared;
    if (value < 0 || static_cast<u64>(value) + fixed > kSharedMost) return cudaErrorInvalidValue;
    programs().set_most_dynamic_shared(function, static_cast<u32>(value));
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* out, const void* function) {
  return CUDASIM_CALL(cudaFuncGetAttributes, cudaFuncGetAttributes_v3020, [&] {
    const ptx::Kernel& kernel = programs().kernel(function, current_device());
    *out = {};
    out->sharedSizeBytes = kernel.static_shared;
    out->localSizeBytes = kernel.local_bytes;
    out->maxThreadsPerBlock = kMostThreads;
    out->numRegs = 32;
    out->ptxVersion = out->binaryVersion = 90;
    out->maxDynamicSharedSizeBytes = static_cast<int>(programs().most_dynamic_shared(function));
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* function,
                                                                               int threads, size_t shared, unsigned) {
  return CUDASIM_CALL(
      cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags,
      cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags_v7000, [&] {
        if (threads < 1) return cudaErrorInvalidValue;
        const bool fits = threads <= static_cast<int>(kMostThreads);
        *blocks =
            fits ? blocks_per_sm(programs().kernel(function, current_device()), static_cast<u64>(threads), shared) : 0;
        return cudaSuccess;
      });
}
CUDASIM_API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int threads,
                                                                      size_t shared) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, shared, 0);
}
