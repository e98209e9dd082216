// Matrix products with a few rows of A, as decoding has them: bound by the bytes of B, which is read once, in order,
// and widened on the way. Every element is summed in an order that depends on no number of threads.
#include "kernels/cpu/loops/block_gemm.h"
#include "kernels/cpu/loops/gemm_parts.h"
#include "kernels/cpu/loops/transpose.h"

namespace shardscope::SS_ISA {
namespace {

constexpr std::int64_t kDotCols = 4;  // columns at a time where B is transposed
constexpr std::int64_t kSumCols = 512,
                       kSumDepth = 4;  // else: columns whose sums stay in the first-level cache, rows of B

template <int N>
struct Constant {
  constexpr int operator()() const { return N; }
};

/// A [m, lda] widened, sums in C [m, ldc].
struct Thin {
  const float* a;
  float* c;
  std::int64_t m, n, k, lda, ldb, ldc;
};

/// B transposed: each element is the dot product of two rows.
template <int Rows, int Cols, class T>
SS_INLINE void dot_tile(const Thin& t, std::int64_t row, const T* b, float* c) {
  F acc[Rows][Cols] = {};
  const float* a = t.a + row * t.lda;
  for_each_vector(t.k, [&](auto at) {
    F x[Rows];
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) x[i] = load(a + i * t.lda, at);
#pragma GCC unroll 4
    for (int j = 0; j < Cols; ++j) {
      const F y = load(b + j * t.ldb, at);
#pragma GCC unroll 8
      for (int i = 0; i < Rows; ++i) acc[i][j] += x[i] * y;
    }
  });
  for (int i = 0; i < Rows; ++i) {
    for (int j = 0; j < Cols; ++j) c[(row + i) * t.ldc + j] += sum(acc[i][j]);
  }
}

/// B as it is: rows of it are added up, kSumDepth at a time, over columns [0, cols).
template <int Rows, int Depth, class T>
SS_INLINE void sum_tile(const Thin& t, std::int64_t row, std::int64_t p, const T* b, float* c, std::int64_t cols) {
  float x[Rows][Depth];
  for (int i = 0; i < Rows; ++i) {
    for (int d = 0; d < Depth; ++d) x[i][d] = t.a[(row + i) * t.lda + p + d];
  }
  for_each_vector(cols, [&](auto at) {
    F y[Depth];
#pragma GCC unroll 4
    for (int d = 0; d < Depth; ++d) y[d] = load(b + d * t.ldb, at);
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) {
      float* to = c + (row + i) * t.ldc;
      F sums = load(to, at);
#pragma GCC unroll 4
      for (int d = 0; d < Depth; ++d) sums += y[d] * x[i][d];
      store(to, at, sums);
    }
  });
}

/// f(first row, number of rows as a constant) for strips of at most kTileRows rows.
template <class Body>
SS_INLINE void for_each_strip(std::int64_t rows, Body&& f) {
  for (std::int64_t r = 0; r < rows; r += kTileRows) {
    switch (least(kTileRows, rows - r)) {
      case 6:
        f(r, Constant<6>());
        break;
      case 5:
        f(r, Constant<5>());
        break;
      case 4:
        f(r, Constant<4>());
        break;
      case 3:
        f(r, Constant<3>());
        break;
      case 2:
        f(r, Constant<2>());
        break;
      default:
        f(r, Constant<1>());
    }
  }
}

template <class T>
void add_dots(const Thin& t, const T* b) {
  std::int64_t j = 0;
  for (; j + kDotCols <= t.n; j += kDotCols) {
    for_each_strip(t.m, [&](auto r, auto rows) { dot_tile<rows(), kDotCols>(t, r, b + j * t.ldb, t.c + j); });
  }
  for (; j < t.n; ++j)
    for_each_strip(t.m, [&](auto r, auto rows) { dot_tile<rows(), 1>(t, r, b + j * t.ldb, t.c + j); });
}

template <class T>
void add_rows(const Thin& t, const T* b) {
  for (std::int64_t j = 0; j < t.n; j += kSumCols) {
    const std::int64_t cols = least(kSumCols, t.n - j);
    std::int64_t p = 0;
    for (; p + kSumDepth <= t.k; p += kSumDepth) {
      for_each_strip(
          t.m, [&](auto r, auto rows) { sum_tile<rows(), kSumDepth>(t, r, p, b + p * t.ldb + j, t.c + j, cols); });
    }
    for (; p < t.k; ++p) {
      for_each_strip(t.m, [&](auto r, auto rows) { sum_tile<rows(), 1>(t, r, p, b + p * t.ldb + j, t.c + j, cols); });
    }
  }
}

std::int64_t scratch_floats(const Gemm& g) { return g.m * (padded(g.k) + padded(g.n)); }

void product(const Gemm& g, float* scratch) {
  const Range all{0, g.m, 0, g.n, 0, g.k};
  const Thin t{scratch, scratch + g.m * padded(g.k), g.m, g.n, g.k, padded(g.k), g.ldb, padded(g.n)};
  with_type(g.a, [&](const auto* a) { widen_rows(a, g.lda, g.m, g.k, scratch, t.lda); });
  start(g, all, t.c, t.ldc);
  with_weight_type(g.b, [&](const auto* b) { g.trans_b ? add_dots(t, b) : add_rows(t, b); });
  finish(g, all, t.c, t.ldc);
}

}  // namespace

extern const ThinLoops thin_loops;
const ThinLoops thin_loops = {scratch_floats, product};

}  // namespace shardscope::SS_ISA
