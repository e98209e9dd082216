#include <algorithm>

#include "kernels/cuda/kernel.h"

namespace shardscope::cuda {
namespace {

/// What cuBLAS may use for itself on devices from Hopper on, as its documentation advises; 4 MiB are enough before.
constexpr std::int64_t kBlasWorkspace = 32 << 20;

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
  check(cudaMalloc(reinterpret_cast<void**>(&blas_workspace_), kBlasWorkspace), "cudaMalloc (cuBLAS workspace)");
  check(cublasSetWorkspace(blas_, blas_workspace_, kBlasWorkspace), "cublasSetWorkspace");
  // Sums of 16-bit products stay in fp32 also where cuBLAS splits them.
  const int mode =
      (tf32_ ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH) | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
  check(cublasSetMathMode(blas_, static_cast<cublasMath_t>(mode)), "cublasSetMathMode");
  return blas_;
}

bool LaneState::run_biased(const BiasedProduct& product, const BiasedProducts::Operands& operands) {
  blas();  // for its workspace: one product at a time uses it, whose ever it is
  if (biased_ == nullptr) biased_ = std::make_unique<BiasedProducts>();
  return biased_->run(product, operands, blas_workspace_, kBlasWorkspace, stream_);
}

std::byte* LaneState::scratch(std::int64_t bytes) {
  if (bytes <= scratch_bytes_) return scratch_;
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");  // earlier ops may use what goes now
  if (scratch_ != nullptr) check(cudaFree(scratch_), "cudaFree");
  scratch_ = nullptr;
  scratch_bytes_ = std::max(bytes, 2 * scratch_bytes_);
  check(cudaMalloc(reinterpret_cast<void**>(&scratch_), static_cast<std::size_t>(scratch_bytes_)),
        "cudaMalloc (scratch)");
  return scratch_;
}

}  // namespace shardscope::cuda
