#pragma once
// Copies a strided matrix into rows padded to whole vectors, as it is or transposed.
//
//   pack_transposed(k, kv_stride, seq, head_dim, out, padded(seq));   // out [head_dim, padded(seq)]

#include <utility>

#include "kernels/cpu/loops/simd.h"

namespace shardscope::SS_ISA {
namespace {

constexpr std::int64_t padded(std::int64_t n) { return (n + kWidth - 1) / kWidth * kWidth; }

/// dst [rows, padded(cols)] = src [rows, cols] * factor, zeros in the padding.
template <class T>
void pack(const T* src, std::int64_t stride, std::int64_t rows, std::int64_t cols, float factor, float* dst) {
  for (std::int64_t r = 0; r < rows; ++r) {
    float* out = dst + r * padded(cols);
    for_each_vector(cols, [&](auto c) { store(out + c.at, load(src + r * stride, c) * factor); });
  }
}

/// low(a, b) is a0 b0 a1 b1 ..., the first kWidth of them; high(a, b) the others.
template <class Lanes>
struct Interleave;
template <int... Lane>
struct Interleave<std::integer_sequence<int, Lane...>> {
  static SS_INLINE F low(F a, F b) { return __builtin_shufflevector(a, b, ((Lane % 2 ? kWidth : 0) + Lane / 2)...); }
  static SS_INLINE F high(F a, F b) {
    return __builtin_shufflevector(a, b, ((Lane % 2 ? kWidth : 0) + (kWidth + Lane) / 2)...);
  }
};

/// A square of kWidth x kWidth: interleaving its upper with its lower half log2(kWidth) times transposes it.
template <class T>
SS_INLINE void transpose_square(const T* src, std::int64_t stride, float* dst, std::int64_t ld) {
  using Mix = Interleave<std::make_integer_sequence<int, kWidth>>;
  F rows[kWidth], mixed[kWidth];
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; ++i) rows[i] = load(src + i * stride);
#pragma GCC unroll 4
  for (int step = 1; step < kWidth; step *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < kWidth / 2; ++i) {
      mixed[2 * i] = Mix::low(rows[i], rows[i + kWidth / 2]);
      mixed[2 * i + 1] = Mix::high(rows[i], rows[i + kWidth / 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i) rows[i] = mixed[i];
  }
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; ++i) store(dst + i * ld, rows[i]);
}

/// dst [cols, ld] = transpose of src [rows, cols]; columns from `rows` to `ld` become zeros.
template <class T>
void pack_transposed(const T* src, std::int64_t stride, std::int64_t rows, std::int64_t cols, float* dst,
                     std::int64_t ld) {
  const std::int64_t whole_rows = rows / kWidth * kWidth, whole_cols = cols / kWidth * kWidth;
  for (std::int64_t r = 0; r < whole_rows; r += kWidth) {
    for (std::int64_t c = 0; c < whole_cols; c += kWidth) {
      transpose_square(src + r * stride + c, stride, dst + c * ld + r, ld);
    }
  }
  for (std::int64_t c = 0; c < cols; ++c) {
    for (std::int64_t r = c < whole_cols ? whole_rows : 0; r < ld; ++r) {
      dst[c * ld + r] = r < rows ? load_one(src + r * stride + c) : 0.0f;
    }
  }
}

}  // namespace
}  // namespace shardscope::SS_ISA
