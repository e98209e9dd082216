#pragma once
// Conversion between dtypes, for ops whose operands have some that a library does not take.
//
//   convert_elements(kernel, DType::kI8, weights, DType::kBF16, scratch, count);   // enqueues

#include "kernels/cuda/kernel.h"

namespace shardscope::cuda {

/// dst[i] = src[i] as Copy defines it; any dtypes, memory that the device reaches. Different dtypes.
void convert_elements(const Kernel& kernel, DType from, const std::byte* src, DType to, std::byte* dst, std::int64_t n);

/// A row-major matrix of elements of `size` bytes moved between strides.
struct MatrixMove {
  const std::byte* src;
  std::int64_t src_stride;
  std::byte* dst;
  std::int64_t dst_stride, rows, cols, size;
};
void move_matrix(const Kernel& kernel, const MatrixMove& move);

}  // namespace shardscope::cuda
