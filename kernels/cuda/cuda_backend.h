#pragma once
// The CUDA backend: the ops of kernels/cpu on a GPU. One object per rank, one GPU per object. Each lane is a host
// thread that issues to a stream of its own; lanes of host work (CPU Adam, NVMe) have no stream and run the CPU's
// kernels. The pinned space is page-locked, so copies to and from it are asynchronous and kernels may use it directly.
//
//   std::unique_ptr<Backend> backend = make_cuda_backend({.device = local_rank, .host_threads = 4});

#include <memory>
#include <string>
#include <vector>

#include "core/engine/backend.h"
#include "core/program/gpu_memory.h"

namespace shardscope {

struct CudaOptions {
  int device = 0;
  int host_threads = 1;  ///< of the lanes that run on the host processor
  bool tf32 = false;     ///< products of fp32 matrices may round their operands to TF32: eight times as fast, 10 bits
  std::int64_t most_moved = kMostMovedForProduct;  ///< bytes of a product's operands that are copied at a time
  bool shares_device =
      false;           ///< several ranks on one GPU: collectives through host memory instead of NCCL (for tests)
  bool graphs = true;  ///< ops that follow each other are launched as CUDA graphs (op_graphs.h)
};

/// Throws Error{kDevice} if there is no such device, naming the driver's reason and what would be right.
std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options);

struct CudaDevice {
  std::string name;  ///< as the driver calls it: "NVIDIA H100 80GB HBM3"
  std::int64_t memory_bytes = 0;
};
/// The devices that this process sees. Throws Error{kDevice} that says why there are none: no driver, one that is too
/// old for this toolkit, or no device.
std::vector<CudaDevice> cuda_devices();

}  // namespace shardscope
