#pragma once
// D = epilogue(alpha * op(A) op(B) + beta * C), column-major, as cuBLAS means it: products of narrow values summed in
// float (or double), one k after the other.
//
//   Gemm gemm; gemm.m = ...;
//   enqueue_gemm(gemm, stream);

#include <cublasLt.h>
#include <library_types.h>

#include "tests/cudasim/core/machine.h"

namespace cudasim {

struct Matrix {
  u64 address = 0;
  cudaDataType type = CUDA_R_32F;
  s64 ld = 0, stride = 0;  ///< elements between columns, and between matrices of a batch
};

struct Gemm {
  s64 m = 0, n = 0, k = 0;
  int batch = 1;
  bool transpose_a = false, transpose_b = false, tf32 = false;
  double alpha = 1, beta = 0;
  Matrix a, b, c, d;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  u64 bias = 0;  ///< of length m; 0: none
  cudaDataType bias_type = CUDA_R_32F;
  u64 scale_a = 0, scale_b = 0, scale_c = 0, scale_d = 0, amax_d = 0;  ///< one float each in device memory, or 0
};

/// 0: not a type that is implemented.
int bytes_of(cudaDataType type);
cublasStatus_t enqueue_gemm(const Gemm& gemm, Stream* stream);

}  // namespace cudasim
