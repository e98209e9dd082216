#include <fmt/format.h>

#include "core/error.h"
#include "kernels/cuda/kernel.h"

namespace shardscope::cuda {

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw Error(ErrorKind::kDevice,
              fmt::format("{}: {} ({})", what, cudaGetErrorString(status), cudaGetErrorName(status)));
}

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(ErrorKind::kDevice, fmt::format("{}: {}", what, cublasGetStatusString(status)));
}

}  // namespace shardscope::cuda
