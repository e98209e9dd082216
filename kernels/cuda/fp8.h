#pragma once
// Operands of a product cast to fp8, each times its scale, in the layout that tensor cores read: rows along k.
//
//   cast_to_fp8(kernel, {op.a, m, k, op.trans_a, op.cast_a}, a);   // enqueues
//   ... A = a.data, a scale of a.scale

#include "kernels/cuda/kernel.h"

namespace shardscope::cuda {

/// A matrix stored [rows, cols], both multiples of 16; the cast one is stored [cols, rows] if it is to be turned.
struct Fp8Cast {
  Region from;
  std::int64_t rows = 0, cols = 0;
  bool turned = false;
  Fp8 format = Fp8::kE4M3;
};

/// Where it goes: a byte per element, at a multiple of 16; the number that a cast element counts times; and room for
/// the largest magnitude that each block of threads has seen.
struct Fp8Matrix {
  std::uint8_t* data = nullptr;
  float* scale = nullptr;
  unsigned* peaks = nullptr;
};
/// Elements of Fp8Matrix::peaks.
std::int64_t fp8_peaks(const Kernel& kernel);

void cast_to_fp8(const Kernel& kernel, const Fp8Cast& cast, const Fp8Matrix& to);

}  // namespace shardscope::cuda
