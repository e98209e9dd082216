// Matrix products of operands that are not all fp32: widened while they are packed into cache blocks, multiplied in
// fp32, rounded once when a block of the result is finished. An element is one chain of multiply-adds over k, so its
// bits depend on no block size and on no number of threads.
#include "kernels/cpu/loops/block_gemm.h"
#include "kernels/cpu/loops/gemm_parts.h"
#include "kernels/cpu/loops/transpose.h"

namespace shardscope::SS_ISA {
namespace {

// A block of B stays in the second-level cache while blocks of A pass by; a panel of it is as wide as a register tile.
constexpr std::int64_t kPanel = kTileCols * kWidth, kDepth = 256, kCols = 512, kRows = 16 * kTileRows;
constexpr std::int64_t kMostRows = 1024;  // of C at a time, in fp32

/// A as it is stored: [rows, depth] with rows kDepth apart, or transposed, [depth, rows] with rows kRows apart.
void pack_a(const Gemm& g, const Range& r, float* out) {
  with_type(g.a, [&](const auto* a) {
    if (g.trans_a) return widen_rows(a + r.at * g.lda + r.row, g.lda, r.depth, r.rows, out, kRows);
    widen_rows(a + r.row * g.lda + r.at, g.lda, r.rows, r.depth, out, kDepth);
  });
}

/// B in panels of kPanel columns, each [depth, kPanel], zeros beyond the last column.
void pack_b(const Gemm& g, const Range& r, float* out) {
  with_weight_type(g.b, [&](const auto* b) {
    for (std::int64_t j = 0; j < r.cols; j += kPanel, out += kDepth * kPanel) {
      const std::int64_t cols = least(kPanel, r.cols - j), first = r.col + j;
      if (g.trans_b) {
        pack_transposed(b + first * g.ldb + r.at, g.ldb, cols, r.depth, out, kPanel);
        continue;
      }
      widen_rows(b + r.at * g.ldb + first, g.ldb, r.depth, cols, out, kPanel);
      if (cols == kPanel) continue;
      for (std::int64_t p = 0; p < r.depth; ++p) {
        for (std::int64_t c = cols; c < padded(cols); ++c) out[p * kPanel + c] = 0;
      }
    }
  });
}

void multiply_block(const Gemm& g, const Range& r, const float* a, const float* b, float* c, std::int64_t ldc) {
  for (std::int64_t j = 0; j < r.cols; j += kPanel, b += kDepth * kPanel) {
    const std::int64_t cols = padded(least(kPanel, r.cols - j));
    for (std::int64_t i = 0; i < r.rows; i += kTileRows) {
      const Block rows = g.trans_a ? Block{a + i, 1, kRows} : Block{a + i * kDepth, kDepth, 1};
      multiply_strip<true>(rows, b, kPanel, c + i * ldc + j, ldc, least(kTileRows, r.rows - i), cols, r.depth);
    }
  }
}

std::int64_t scratch_floats(const Gemm& g) {
  return kDepth * kCols + kDepth * kRows + least(g.m, kMostRows) * padded(least(g.n, kCols));
}

void gemm(const Gemm& g, float* scratch) {
  float* b = scratch;             // panels of B
  float* a = b + kDepth * kCols;  // a block of A
  float* c = a + kDepth * kRows;  // [rows, ldc]
  for (std::int64_t row = 0; row < g.m; row += kMostRows) {
    for (std::int64_t col = 0; col < g.n; col += kCols) {
      Range all{row, least(kMostRows, g.m - row), col, least(kCols, g.n - col), 0, 0};
      const std::int64_t ldc = padded(all.cols);
      start(g, all, c, ldc);
      for (std::int64_t at = 0; at < g.k; at += kDepth) {
        all.at = at, all.depth = least(kDepth, g.k - at);
        pack_b(g, all, b);
        for (std::int64_t i = 0; i < all.rows; i += kRows) {
          Range part = all;
          part.row = row + i, part.rows = least(kRows, all.rows - i);
          pack_a(g, part, a);
          multiply_block(g, part, a, b, c + i * ldc, ldc);
        }
      }
      finish(g, all, c, ldc);
    }
  }
}

}  // namespace

extern const GemmLoops gemm_loops;
const GemmLoops gemm_loops = {scratch_floats, gemm};

}  // namespace shardscope::SS_ISA
