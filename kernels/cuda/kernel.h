#pragma once
// What a CUDA kernel's launcher gets. One run() per op, one .cu file per op family, as in kernels/cpu: the op's meaning
// is in core/program/ops.h, and beside each kernel stand the bytes it moves per element, its limit on any GPU.
//
//   void run(const Scale& op, Kernel& kernel);   // enqueues on kernel.stream(); throws Error{kDevice}

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "core/check.h"
#include "core/engine/backend.h"
#include "core/program/gpu_memory.h"
#include "kernels/cuda/lt_products.h"

namespace shardscope::cuda {

/// What the launchers want to know of a device.
struct DeviceInfo {
  int index = 0;
  int multiprocessors = 1;
  int compute = 0;  ///< 90 for compute capability 9.0
  std::int64_t memory_bytes = 0;
  std::string name;  ///< "NVIDIA H100 80GB HBM3"
};

/// What one lane keeps: its stream, its cuBLAS handle, and device memory for temporaries of one op.
class LaneState {
 public:
  /// `tf32`, `most_moved`: as in CudaOptions.
  explicit LaneState(const DeviceInfo& device, bool tf32 = false, std::int64_t most_moved = kMostMovedForProduct)
      : device_(&device), tf32_(tf32), most_moved_(most_moved) {}
  LaneState(const LaneState&) = delete;
  LaneState& operator=(const LaneState&) = delete;
  ~LaneState();
  void open();  ///< on the lane's own thread, before anything else; again: nothing
  cudaStream_t stream() const { return stream_; }
  cublasHandle_t blas();
  /// As LtProducts::run(), with the memory that cuBLAS may use on this lane.
  bool run_lt(const LtProduct& product, const LtProducts::Operands& operands);
  /// At least `bytes` of device memory, aligned to 256, for this op only: the next op of the lane writes over it.
  std::byte* scratch(std::int64_t bytes);
  const std::byte* scratch() const { return scratch_; }  ///< where it is now
  const DeviceInfo& device() const { return *device_; }
  bool uses_tf32() const { return tf32_; }
  std::int64_t most_moved() const { return most_moved_; }

 private:
  const DeviceInfo* device_;
  bool tf32_;
  std::int64_t most_moved_;
  cudaStream_t stream_ = nullptr;
  cublasHandle_t blas_ = nullptr;
  std::byte* blas_workspace_ = nullptr;
  std::unique_ptr<LtProducts> lt_;
  std::byte* scratch_ = nullptr;
  std::int64_t scratch_bytes_ = 0;
};

struct Kernel {
  const Memory& memory;
  const StepScalars& step;
  LaneState& lane;
  bool is_captured = false;            ///< into a graph, which replays what kernels are given now
  mutable bool asked_scalars = false;  ///< see scalars()

  /// Whoever asks is launched anew in every step: a graph would keep this step's numbers (op_graphs.h).
  const StepScalars& scalars() const {
    SS_CHECK(!is_captured);
    asked_scalars = true;
    return step;
  }
  template <class T = float>
  T* data(const Region& region) const {
    return memory.as<T>(region);
  }
  DType dtype(const Region& region) const { return memory.dtype(region); }
  cudaStream_t stream() const { return lane.stream(); }
  const DeviceInfo& device() const { return lane.device(); }
  template <class T>
  T* scratch(std::int64_t count) const {
    return reinterpret_cast<T*>(lane.scratch(count * static_cast<std::int64_t>(sizeof(T))));
  }
};

/// Throws Error{kDevice}: "cudaMemcpyAsync: invalid argument (cudaErrorInvalidValue)". `what` is the call.
void check(cudaError_t status, const char* what);
void check(cublasStatus_t status, const char* what);
/// After a launch: "cudaLaunchKernel (embed): an illegal memory access ...".
void check_launch(const char* kernel);

#include "kernels/run_each_op.inc"

/// Any op: those above, or Error{kUnsupported}.
void run_op(const Op& op, Kernel& kernel);
/// Whether run_op() takes the op with these dtypes.
bool runs(const Program& program, const Op& op);

}  // namespace shardscope::cuda
