// The calls of cuBLAS that multiply matrices, with handles that remember their stream.

#include <cublas_v2.h>

#include "tests/cudasim/blas/gemm.h"
#include "tests/cudasim/runtime/call.h"

namespace cudasim {

namespace {

struct Handle {
  int device = 0;
  cudaStream_t stream = nullptr;
  cublasMath_t math = CUBLAS_DEFAULT_MATH;
};

/// The mode itself, without the flags that may be added to it.
constexpr int kMathModes = 0xf;

Handle* of(cublasHandle_t handle) { return reinterpret_cast<Handle*>(handle); }

/// What the documentation of cublasGemmEx allows, as far as it is implemented.
bool supported(cublasComputeType_t compute, cudaDataType a, cudaDataType b, cudaDataType c) {
  if (compute == CUBLAS_COMPUTE_64F) return a == CUDA_R_64F && b == a && c == a;
  if (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32 &&
      compute != CUBLAS_COMPUTE_32F_PEDANTIC)
    return false;
  const bool known = a == CUDA_R_32F || a == CUDA_R_16BF || a == CUDA_R_16F;
  return known && a == b && (c == a || c == CUDA_R_32F);
}

double scalar(const void* at, cublasComputeType_t compute) {
  return compute == CUBLAS_COMPUTE_64F ? *static_cast<const double*>(at)
                                       : static_cast<double>(*static_cast<const float*>(at));
}

cublasStatus_t gemm(cublasHandle_t handle, Gemm g, cublasComputeType_t compute, const void* alpha, const void* beta) {
  Machine& m = machine();
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (const int injected = m.injected("cublasGemmEx")) return static_cast<cublasStatus_t>(injected);
  if (!supported(compute, g.a.type, g.b.type, g.c.type)) return CUBLAS_STATUS_NOT_SUPPORTED;
  g.alpha = scalar(alpha, compute);
  g.beta = scalar(beta, compute);
  g.d = g.c;
  const bool by_math = compute == CUBLAS_COMPUTE_32F && (of(handle)->math & kMathModes) == CUBLAS_TF32_TENSOR_OP_MATH;
  g.tf32 = g.a.type == CUDA_R_32F && (compute == CUBLAS_COMPUTE_32F_FAST_TF32 || by_math);
  Stream* const stream = m.stream(of(handle)->stream, of(handle)->device);
  if (stream == nullptr || stream->device != of(handle)->device) {
    m.reports.add("cuBLAS: the handle's stream is not there, or of another device");
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  return enqueue_gemm(g, stream);
}

Matrix matrix(const void* at, cudaDataType type, s64 ld, s64 stride = 0) {
  return {reinterpret_cast<u64>(at), type, ld, stride};
}

}  // namespace

}  // namespace cudasim

using namespace cudasim;

CUDASIM_API cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  Machine& m = machine();
  if (const int injected = m.injected("cublasCreate")) return static_cast<cublasStatus_t>(injected);
  if (m.settings.unavailable() != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = reinterpret_cast<cublasHandle_t>(new Handle{current_device()});
  return CUBLAS_STATUS_SUCCESS;
}
CUDASIM_API cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  delete of(handle);
  return CUBLAS_STATUS_SUCCESS;
}
CUDASIM_API cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  of(handle)->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}
CUDASIM_API cublasStatus_t cublasGetStream_v2(cublasHandle_t handle, cudaStream_t* stream) {
  *stream = of(handle)->stream;
  return CUBLAS_STATUS_SUCCESS;
}
CUDASIM_API cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t math) {
  of(handle)->math = math;
  return CUBLAS_STATUS_SUCCESS;
}
CUDASIM_API cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* math) {
  *math = of(handle)->math;
  return CUBLAS_STATUS_SUCCESS;
}
CUDASIM_API cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t, cublasPointerMode_t mode) {
  return mode == CUBLAS_POINTER_MODE_HOST ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}
CUDASIM_API cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t, void* workspace, size_t bytes) {
  if (bytes > 0 && machine().memory.find(reinterpret_cast<u64>(workspace)) == nullptr) {
    machine().reports.add("cublasSetWorkspace: not device memory");
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  return CUBLAS_STATUS_SUCCESS;
}
CUDASIM_API cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int* version) {
  *version = CUBLAS_VERSION;
  return CUBLAS_STATUS_SUCCESS;
}

CUDASIM_API cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb,
                                                      int m, int n, int k, const void* alpha, const void* a,
                                                      cudaDataType at, int lda, long long sa, const void* b,
                                                      cudaDataType bt, int ldb, long long sb, const void* beta, void* c,
                                                      cudaDataType ct, int ldc, long long sc, int batch,
                                                      cublasComputeType_t compute, cublasGemmAlgo_t) {
  Gemm g;
  g.m = m;
  g.n = n;
  g.k = k;
  g.batch = batch;
  g.transpose_a = ta != CUBLAS_OP_N;
  g.transpose_b = tb != CUBLAS_OP_N;
  g.a = matrix(a, at, lda, sa);
  g.b = matrix(b, bt, ldb, sb);
  g.c = matrix(c, ct, ldc, sc);
  return gemm(handle, g, compute, alpha, beta);
}
CUDASIM_API cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m, int n,
                                        int k, const void* alpha, const void* a, cudaDataType at, int lda,
                                        const void* b, cudaDataType bt, int ldb, const void* beta, void* c,
                                        cudaDataType ct, int ldc, cublasComputeType_t compute,
                                        cublasGemmAlgo_t algorithm) {
  return cublasGemmStridedBatchedEx(handle, ta, tb, m, n, k, alpha, a, at, lda, 0, b, bt, ldb, 0, beta, c, ct, ldc, 0,
                                    1, compute, algorithm);
}
CUDASIM_API cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m,
                                          int n, int k, const float* alpha, const float* a, int lda, const float* b,
                                          int ldb, const float* beta, float* c, int ldc) {
  return cublasGemmEx(handle, ta, tb, m, n, k, alpha, a, CUDA_R_32F, lda, b, CUDA_R_32F, ldb, beta, c, CUDA_R_32F, ldc,
                      CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}
CUDASIM_API cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb,
                                                     int m, int n, int k, const float* alpha, const float* a, int lda,
                                                     long long sa, const float* b, int ldb, long long sb,
                                                     const float* beta, float* c, int ldc, long long sc, int batch) {
  return cublasGemmStridedBatchedEx(handle, ta, tb, m, n, k, alpha, a, CUDA_R_32F, lda, sa, b, CUDA_R_32F, ldb, sb,
                                    beta, c, CUDA_R_32F, ldc, sc, batch, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}

CUDASIM_API const char* cublasGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR:
      return "CUBLAS_STATUS_LICENSE_ERROR";
  }
  return "unknown status";
}
CUDASIM_API const char* cublasGetStatusString(cublasStatus_t status) { return cublasGetStatusName(status); }
