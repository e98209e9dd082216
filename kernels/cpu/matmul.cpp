// Matrix products. fp32 by oneDNN's sgemm: on row-major matrices of any transposition it is as fast as oneDNN's matmul
// primitive or faster, needs no object per shape, and gives the same bits at any address (measured: matmul_test.cpp).
// 16-bit and int8 operands by loops/gemm.cpp, which widens them while it packs them, a block of C for each thread; few
// rows of any type by loops/thin.cpp. Products in fp8 are those of the numbers that the casts leave, in fp32.
#include <oneapi/dnnl/dnnl.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "core/error.h"
#include "kernels/cpu/float_rows.h"

namespace shardscope {
namespace {

void spread_bias(const MatMul& op, Kernel& kernel) {
  const float* bias = kernel.data(op.bias);
  float* c = kernel.data(op.c);
  const auto bytes = static_cast<std::size_t>(op.n) * sizeof(float);
  parallel_for(kernel, op.m, 1 + kElementGrain / op.n, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) std::memcpy(c + row * op.n, bias, bytes);
  });
}

void multiply_f32(const MatMul& op, Kernel& kernel) {
  if (!op.bias.empty()) spread_bias(op, kernel);
  const bool add = op.accumulate || !op.bias.empty();
  const dnnl_status_t status = dnnl_sgemm(op.trans_a ? 'T' : 'N', op.trans_b ? 'T' : 'N', op.m, op.n, op.k, 1.0f,
                                          kernel.data(op.a), op.trans_a ? op.m : op.k, kernel.data(op.b),
                                          op.trans_b ? op.k : op.n, add ? 1.0f : 0.0f, kernel.data(op.c), op.n);
  if (status != dnnl_success) {
    throw Error(ErrorKind::kDevice, "matmul: oneDNN returned status " + std::to_string(static_cast<int>(status)));
  }
}

std::int64_t size_of(Element type) {
  if (type == Element::kI8) return 1;
  return type == Element::kF32 ? 4 : 2;
}

Elements from(const Elements& e, std::int64_t at) {
  return e.data == nullptr ? e : Elements{static_cast<std::byte*>(e.data) + at * size_of(e.type), e.type};
}

/// Rows [row, row + rows) and columns [col, col + cols) of the product.
Gemm part_of(const Gemm& g, std::int64_t row, std::int64_t rows, std::int64_t col, std::int64_t cols) {
  Gemm part = g;
  part.a = from(g.a, g.trans_a ? row : row * g.lda);
  part.b = from(g.b, g.trans_b ? col * g.ldb : col);
  part.bias = from(g.bias, col);
  part.c = from(g.c, row * g.ldc + col);
  if (g.scales != nullptr) part.scales += col;
  part.m = rows, part.n = cols;
  return part;
}

/// Into how many stripes of rows C is cut, and of columns: every thread packs its rows of A and its columns of B.
std::pair<std::int64_t, std::int64_t> cut_for(const Gemm& g, std::int64_t threads) {
  std::pair<std::int64_t, std::int64_t> best{1, threads};
  double least = 1e300;
  for (std::int64_t rows = 1; rows <= threads; ++rows) {
    if (threads % rows != 0) continue;
    const std::int64_t columns = threads / rows;
    const double packed =
        static_cast<double>(g.m) / static_cast<double>(rows) + static_cast<double>(g.n) / static_cast<double>(columns);
    if (packed < least) best = {rows, columns};
    least = std::min(least, packed);
  }
  return best;
}

/// Whole register tiles, so that only the last stripe has a ragged edge: multiples of 48 rows, 64 columns.
std::int64_t cut_at(std::int64_t n, std::int64_t i, std::int64_t pieces, std::int64_t grain) {
  return std::min(n, (n + grain - 1) / grain * i / pieces * grain);
}

Gemm gemm_of(const MatMul& op, const Kernel& kernel) {
  return {elements_of(kernel, op.a),
          elements_of(kernel, op.b),
          elements_of(kernel, op.bias),
          elements_of(kernel, op.c),
          op.m,
          op.n,
          op.k,
          op.trans_a ? op.m : op.k,
          op.trans_b ? op.k : op.n,
          op.n,
          op.trans_a,
          op.trans_b,
          op.accumulate};
}

/// Cuts C into `stripes` times `columns` pieces; f(piece, scratch) on the threads, each with `floats` of scratch.
template <class Body>
void for_each_piece(const Gemm& g, std::int64_t stripes, std::int64_t columns, std::int64_t floats, Kernel& kernel,
                    Body&& f) {
  floats = (floats + 15) / 16 * 16;
  float* scratch = kernel.lane.scratch.take<float>(floats * kernel.threads);
  parallel_for(kernel, stripes * columns, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t r = i / columns, c = i % columns;
      const std::int64_t row = cut_at(g.m, r, stripes, 48), col = cut_at(g.n, c, columns, 64);
      const Gemm part =
          part_of(g, row, cut_at(g.m, r + 1, stripes, 48) - row, col, cut_at(g.n, c + 1, columns, 64) - col);
      if (part.m > 0 && part.n > 0) f(part, scratch + thread * floats);
    }
  });
}

void multiply_blocks(const Gemm& g, Kernel& kernel) {
  const auto [stripes, columns] = cut_for(g, kernel.threads);
  for_each_piece(g, stripes, columns, kernel.loops.gemm.scratch_floats(g), kernel, kernel.loops.gemm.gemm);
}

void multiply_thin(const Gemm& g, Kernel& kernel) {
  for_each_piece(g, 1, kernel.threads, kernel.loops.thin.scratch_floats(g), kernel, kernel.loops.thin.product);
}

/// Rows of A from which on packing B pays (measured: tests/bench/kernels_bench.cpp).
constexpr std::int64_t kThinRows = 16;

bool is_thin(const Gemm& g) { return g.m <= kThinRows && !g.trans_a; }

bool is_f32(const Kernel& kernel, const Region& region) {
  return region.empty() || kernel.memory.dtype(region) == DType::kF32;
}

Fp8Format format_of(Fp8 format) { return format == Fp8::kE5M2 ? Fp8Format{-14, 2} : Fp8Format{-6, 3}; }

/// What a cast to fp8 leaves of the operand, in fp32.
Elements through_fp8(Kernel& kernel, const Region& region, Fp8 format) {
  const QuantizeLoops& loops = kernel.loops.quantize;
  const Elements given = elements_of(kernel, region);
  float* values = kernel.lane.scratch.take<float>(region.count);
  auto* peaks = kernel.lane.scratch.take<float>(kernel.threads);  // non-negative, or NaN: their bits are in order
  std::fill_n(peaks, kernel.threads, 0.0f);
  parallel_for(kernel, region.count, kElementGrain, [&](std::int64_t begin, std::int64_t end, int thread) {
    widen(kernel, given, begin, end - begin, values + begin);
    peaks[thread] = loops.peak(values + begin, end - begin);
  });
  float peak = kFp8LeastPeak;
  for (int t = 0; t < kernel.threads; ++t) {
    if (std::bit_cast<std::uint32_t>(peaks[t]) > std::bit_cast<std::uint32_t>(peak)) peak = peaks[t];
  }
  const float up = largest_of(format) / peak, down = 1 / up;
  parallel_for(kernel, region.count, kElementGrain, [&](std::int64_t begin, std::int64_t end, int) {
    loops.through_fp8(values + begin, format_of(format), up, down, end - begin);
  });
  return {values, Element::kF32};
}

}  // namespace

void run(const MatMul& op, Kernel& kernel) {
  const bool all_f32 = is_f32(kernel, op.a) && is_f32(kernel, op.b) && is_f32(kernel, op.bias) && is_f32(kernel, op.c);
  Gemm g = gemm_of(op, kernel);
  if (op.in_fp8()) {
    g.a = through_fp8(kernel, op.a, op.cast_a);
    g.b = through_fp8(kernel, op.b, op.cast_b);
    return multiply_blocks(g, kernel);
  }
  if (is_thin(g)) return multiply_thin(g, kernel);
  all_f32 ? multiply_f32(op, kernel) : multiply_blocks(g, kernel);
}

void run(const MatMulInt8& op, Kernel& kernel) {
  Gemm g = gemm_of({op.a, op.b, op.bias, op.c, op.m, op.n, op.k, false, op.trans_b}, kernel);
  g.scales = kernel.data(op.scales);
  is_thin(g) ? multiply_thin(g, kernel) : multiply_blocks(g, kernel);
}

}  // namespace shardscope
