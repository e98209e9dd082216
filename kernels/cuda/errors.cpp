#include <fmt/format.h>

#include "core/error.h"
#include "kernels/cuda/kernel.h"

namespace shardscope::cuda {
namespace {

/// Errors that a kernel made some time ago and that every call returns from then on.
bool comes_late(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorIllegalInstruction:
    case cudaErrorHardwareStackError:
    case cudaErrorAssert:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
      return true;
    default:
      return false;
  }
}

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  const char* const hint =
      comes_late(status) ? "; it may be an earlier op's: with CUDA_LAUNCH_BLOCKING=1 it is this one's" : "";
  throw Error(ErrorKind::kDevice,
              fmt::format("{}: {} ({}){}", what, cudaGetErrorString(status), cudaGetErrorName(status), hint));
}

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(ErrorKind::kDevice, fmt::format("{}: {}", what, cublasGetStatusString(status)));
}

void check_launch(const char* kernel) {
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess) check(status, fmt::format("cudaLaunchKernel ({})", kernel).c_str());
}

}  // namespace shardscope::cuda
