#pragma once
// What both matrix products share (loops/gemm.cpp, loops/thin.cpp): operands of any type, what sums start from and end
// as.

#include "kernels/cpu/loops/half.h"
#include "kernels/cpu/loops/loops.h"

namespace shardscope::SS_ISA {
namespace {

/// An int8 weight before its scale.
struct I8 {
  std::int8_t value;
};
SS_INLINE F load(const I8* p) {
  B v;
  __builtin_memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, F);
}

SS_INLINE std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

/// f(elements) with the pointer's type; null stays null.
template <class Body>
SS_INLINE void with_type(Elements e, Body&& f) {
  switch (e.type) {
    case Element::kF32:
      return f(static_cast<float*>(e.data));
    case Element::kBF16:
      return f(static_cast<BF16*>(e.data));
    case Element::kF16:
      return f(static_cast<F16*>(e.data));
    case Element::kI8:
      return;  // only B can be
  }
}

/// Likewise for what may be int8.
template <class Body>
SS_INLINE void with_weight_type(Elements e, Body&& f) {
  if (e.type == Element::kI8) return f(static_cast<I8*>(e.data));
  with_type(e, f);
}

/// The part of the product in hand.
struct Range {
  std::int64_t row, rows, col, cols, at, depth;  ///< `at`, `depth`: along k
};

/// out [rows, cols] with rows `ld` apart = src, whose rows are `stride` apart.
template <class T>
void widen_rows(const T* src, std::int64_t stride, std::int64_t rows, std::int64_t cols, float* out, std::int64_t ld) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for_each_vector(cols, [&](auto c) { store(out + r * ld, c, load(src + r * stride, c)); });
  }
}

/// What the sums start from: C itself, the bias, or zeros. Scaled ones start from zero.
inline void start(const Gemm& g, const Range& r, float* c, std::int64_t ldc) {
  if (g.accumulate && g.scales == nullptr) {
    with_type(g.c, [&](const auto* old) { widen_rows(old + r.row * g.ldc + r.col, g.ldc, r.rows, r.cols, c, ldc); });
  } else if (g.bias.data != nullptr && g.scales == nullptr) {
    with_type(g.bias, [&](const auto* bias) { widen_rows(bias + r.col, 0, r.rows, r.cols, c, ldc); });
  } else {
    for (std::int64_t i = 0; i < r.rows * ldc; i += kWidth) store(c + i, splat(0));
  }
}

/// What is added to the scaled sums: C itself, the bias, or nothing.
inline void scale(const Gemm& g, const Range& r, float* c, std::int64_t ldc) {
  const auto add = [&](const auto* from, std::int64_t stride) {
    for (std::int64_t i = 0; i < r.rows; ++i) {
      for_each_vector(r.cols, [&](auto at) {
        const F scaled = load(c + i * ldc, at) * load(g.scales + r.col, at);
        store(c + i * ldc, at, from == nullptr ? scaled : scaled + load(from + i * stride, at));
      });
    }
  };
  if (g.accumulate) return with_type(g.c, [&](const auto* old) { add(old + r.row * g.ldc + r.col, g.ldc); });
  if (g.bias.data == nullptr) return add(static_cast<const float*>(nullptr), 0);
  with_type(g.bias, [&](const auto* bias) { add(bias + r.col, 0); });
}

inline void finish(const Gemm& g, const Range& r, float* c, std::int64_t ldc) {
  if (g.scales != nullptr) scale(g, r, c, ldc);
  with_type(g.c, [&](auto* out) {
    for (std::int64_t i = 0; i < r.rows; ++i) {
      auto* row = out + (r.row + i) * g.ldc + r.col;
      for_each_vector(r.cols, [&](auto at) { store(row, at, load(c + i * ldc, at)); });
    }
  });
}

}  // namespace
}  // namespace shardscope::SS_ISA
