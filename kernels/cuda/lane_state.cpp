#include <algorithm>
#include <utility>

#include "core/program/gpu_memory.h"
#include "kernels/cuda/devices.h"
#include "kernels/cuda/kernel.h"

namespace shardscope::cuda {
namespace {

/// Scratch grows by at least what it has, so that it seldom does, but by no more than this beyond what is asked for.
constexpr std::int64_t kMostSpare = std::int64_t{8} << 20;

/// What no program knows of. Throws Error{kDevice} that says what is free.
std::byte* allocate(const DeviceInfo& device, std::int64_t bytes, const char* what) {
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, static_cast<std::size_t>(bytes));
  if (status == cudaSuccess) return static_cast<std::byte*>(data);
  (void)cudaGetLastError();  // not sticky: the next call starts clean
  throw out_of_memory(device, bytes, what, status);
}

}  // namespace

LaneState::~LaneState() {
  if (stream_ == nullptr) return;
  cudaStreamSynchronize(stream_);
  if (blas_ != nullptr) cublasDestroy(blas_);
  if (scratch_ != nullptr) cudaFree(scratch_);
  if (blas_workspace_ != nullptr) cudaFree(blas_workspace_);
  cudaStreamDestroy(stream_);
}

void LaneState::open() {
  if (stream_ != nullptr) return;
  check(cudaSetDevice(device_->index), "cudaSetDevice");
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
}

cublasHandle_t LaneState::blas() {
  if (blas_ != nullptr) return blas_;
  check(cublasCreate(&blas_), "cublasCreate");
  check(cublasSetStream(blas_, stream_), "cublasSetStream");
  blas_workspace_ = allocate(*device_, kBlasWorkspace, "for cuBLAS to work in");
  check(cublasSetWorkspace(blas_, blas_workspace_, kBlasWorkspace), "cublasSetWorkspace");
  // Sums of 16-bit products stay in fp32 also where cuBLAS splits them.
  const int mode =
      (tf32_ ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH) | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
  check(cublasSetMathMode(blas_, static_cast<cublasMath_t>(mode)), "cublasSetMathMode");
  return blas_;
}

bool LaneState::run_lt(const LtProduct& product, const LtProducts::Operands& operands) {
  blas();  // for its workspace: one product at a time uses it, whose ever it is
  if (lt_ == nullptr) lt_ = std::make_unique<LtProducts>();
  return lt_->run(product, operands, blas_workspace_, kBlasWorkspace, stream_);
}

std::byte* LaneState::scratch(std::int64_t bytes) {
  if (bytes <= scratch_bytes_) return scratch_;
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");  // earlier ops may use what goes now
  if (scratch_ != nullptr) check(cudaFree(scratch_), "cudaFree");
  scratch_ = nullptr;
  const std::int64_t before = std::exchange(scratch_bytes_, 0);
  const std::int64_t wanted = std::max(bytes, before + std::min(before, kMostSpare));
  scratch_ = allocate(*device_, wanted, "for an op's scratch");
  scratch_bytes_ = wanted;
  return scratch_;
}

}  // namespace shardscope::cuda
