#pragma once
// Products of small blocks that lie in the cache: C [rows, cols] (+)= A [rows, k] B [k, cols], with A read element by
// element (any strides, so also transposed) and B and C by whole vectors. The inner tile holds kTileRows x kTileCols
// vectors of C in registers.
//
//   multiply<true>(Block{a, 1, lda}, b, ldb, c, ldc, rows, padded_cols, k);   // C += A^T B

#include "kernels/cpu/loops/simd.h"

namespace shardscope::SS_ISA {
namespace {

constexpr int kTileRows = 6;
constexpr int kTileCols = kWidth == 16 ? 4 : 2;  // 24 accumulators of AVX-512's 32 registers, 12 of the others' 16

/// Element (i, j) is data[i * row + j * col].
struct Block {
  const float* data;
  std::int64_t row, col;
};

template <bool Add, int Rows, int Cols>
SS_INLINE void multiply_tile(Block a, const float* b, std::int64_t ldb, float* c, std::int64_t ldc, std::int64_t k) {
  F acc[Rows][Cols];
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < Cols; ++j) acc[i][j] = Add ? load(c + i * ldc + j * kWidth) : splat(0);
  }
  for (std::int64_t p = 0; p < k; ++p) {
    F row[Cols];
#pragma GCC unroll 4
    for (int j = 0; j < Cols; ++j) row[j] = load(b + p * ldb + j * kWidth);
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) {
      const float factor = a.data[i * a.row + p * a.col];
#pragma GCC unroll 4
      for (int j = 0; j < Cols; ++j) acc[i][j] += row[j] * factor;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < Cols; ++j) store(c + i * ldc + j * kWidth, acc[i][j]);
  }
}

template <bool Add, int Rows>
void multiply_rows(Block a, const float* b, std::int64_t ldb, float* c, std::int64_t ldc, std::int64_t cols,
                   std::int64_t k) {
  std::int64_t j = 0;
  for (; j + kTileCols * kWidth <= cols; j += kTileCols * kWidth) {
    multiply_tile<Add, Rows, kTileCols>(a, b + j, ldb, c + j, ldc, k);
  }
  for (; j < cols; j += kWidth) multiply_tile<Add, Rows, 1>(a, b + j, ldb, c + j, ldc, k);
}

/// `cols` is a multiple of kWidth, `rows` at most kTileRows.
template <bool Add>
SS_INLINE void multiply_strip(Block a, const float* b, std::int64_t ldb, float* c, std::int64_t ldc, std::int64_t rows,
                              std::int64_t cols, std::int64_t k) {
  switch (rows) {
    case 6:
      return multiply_rows<Add, 6>(a, b, ldb, c, ldc, cols, k);
    case 5:
      return multiply_rows<Add, 5>(a, b, ldb, c, ldc, cols, k);
    case 4:
      return multiply_rows<Add, 4>(a, b, ldb, c, ldc, cols, k);
    case 3:
      return multiply_rows<Add, 3>(a, b, ldb, c, ldc, cols, k);
    case 2:
      return multiply_rows<Add, 2>(a, b, ldb, c, ldc, cols, k);
    default:
      return multiply_rows<Add, 1>(a, b, ldb, c, ldc, cols, k);
  }
}

}  // namespace
}  // namespace shardscope::SS_ISA
