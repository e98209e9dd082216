#include "kernels/cuda/thin_matmul.h"

#include <algorithm>

#include "kernels/cuda/access.cuh"

namespace shardscope::cuda {
namespace {

/// Rows beyond which dequantising b and cuBLAS are faster (computed for an H100: 16 multiply-adds per byte take twice
/// as long as the byte; dequantising moves five).
constexpr std::int64_t kMostRows = 16;
constexpr int kWarps = 8;  // of a block

/// The product's operands; a thread block computes kRows rows of c, of which the last may lie beyond m.
template <class T>
struct Thin {
  const T* a;
  const std::int8_t* b;
  const float* scales;
  FloatView bias, c;
  int m;
  std::int64_t n, k;
  __device__ void store(int row, std::int64_t col, float sum) const {
    const float v = sum * scales[col];
    c.store(row * n + col, bias ? v + bias.load(col) : v);
  }
};

/// b stored [n,k]: a warp takes kCols rows of it and multiplies them with rows of a, kVector elements at a time. Reads
/// one byte per weight.
template <int kRows, int kVector, class T>
__global__ void __launch_bounds__(kWarps* kWarp) multiply_rows(Thin<T> t) {
  constexpr int kCols = 4;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t first = (std::int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp) * kCols;
  if (first >= t.n) return;
  float sums[kRows][kCols] = {};
  for (std::int64_t p = lane * kVector; p < t.k; p += kWarp * kVector) {
    Pack<std::int8_t, kVector> weights[kCols];
#pragma unroll
    for (int j = 0; j < kCols; ++j) {
      const std::int64_t row = first + j < t.n ? first + j : t.n - 1;  // the last again: computed, not stored
      weights[j] = load_pack<kVector>(t.b + row * t.k + p);
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const T* from = t.a + (r < t.m ? r : t.m - 1) * t.k + p;
      constexpr int kPart = kVector < 16 / static_cast<int>(sizeof(T)) ? kVector : 16 / static_cast<int>(sizeof(T));
#pragma unroll
      for (int i = 0; i < kVector; i += kPart) {
        const Pack<T, kPart> x = load_pack<kPart>(from + i);
#pragma unroll
        for (int e = 0; e < kPart; ++e) {
#pragma unroll
          for (int j = 0; j < kCols; ++j) sums[r][j] += to_float(x.at[e]) * static_cast<float>(weights[j].at[i + e]);
        }
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int j = 0; j < kCols; ++j) {
      const float sum = warp_sum(sums[r][j]);
      if (lane == 0 && r < t.m && first + j < t.n) t.store(r, first + j, sum);
    }
  }
}

/// b stored [k,n]: a warp takes kVector columns a lane and every eighth of the block's rows of b, which are a stretch
/// of `depth`. partial [gridDim.y, m, n] gets the blocks' sums. Reads one byte per weight.
template <int kRows, int kVector, class T>
__global__ void __launch_bounds__(kWarps* kWarp) multiply_columns(Thin<T> t, std::int64_t depth, float* partial) {
  __shared__ float all[kWarps][kVector][kWarp];
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const std::int64_t col = (std::int64_t{blockIdx.x} * kWarp + lane) * kVector;
  const std::int64_t begin = blockIdx.y * depth, end = begin + depth < t.k ? begin + depth : t.k;
  float sums[kRows][kVector] = {};
  if (col < t.n) {
#pragma unroll 4
    for (std::int64_t p = begin + warp; p < end; p += kWarps) {
      const Pack<std::int8_t, kVector> weights = load_pack<kVector>(t.b + p * t.n + col);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const float x = to_float(t.a[(r < t.m ? r : t.m - 1) * t.k + p]);
#pragma unroll
        for (int j = 0; j < kVector; ++j) sums[r][j] += x * static_cast<float>(weights.at[j]);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    __syncthreads();
#pragma unroll
    for (int j = 0; j < kVector; ++j) all[warp][j][lane] = sums[r][j];
    __syncthreads();
    if (warp != r % kWarps || r >= t.m || col >= t.n) continue;
#pragma unroll
    for (int j = 0; j < kVector; ++j) {
      float total = 0;
      for (int w = 0; w < kWarps; ++w) total += all[w][j][lane];
      partial[(std::int64_t{blockIdx.y} * t.m + r) * t.n + col + j] = total;
    }
  }
}

/// Adds the blocks' sums in their order.
template <class T>
__global__ void add_stretches(Thin<T> t, const float* partial, int stretches) {
  const std::int64_t count = t.m * t.n;
  for (std::int64_t i = first_index(); i < count; i += index_stride()) {
    float sum = 0;
    for (int s = 0; s < stretches; ++s) sum += partial[s * count + i];
    t.store(static_cast<int>(i / t.n), i % t.n, sum);
  }
}

template <int kRows, int kVector, class T>
void launch_rows(const Thin<T>& t, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>((t.n + 4 * kWarps - 1) / (4 * kWarps));
  multiply_rows<kRows, kVector><<<blocks, kWarps * kWarp, 0, stream>>>(t);
}

/// About as many blocks as fill an H100 twice, each with 64 rows of b at least.
template <int kRows, int kVector, class T>
void launch_columns(const Thin<T>& t, Kernel& kernel) {
  constexpr std::int64_t kBlocks = 512, kLeastDepth = 64;
  const std::int64_t across = (t.n + kWarp * kVector - 1) / (kWarp * kVector);
  const std::int64_t wanted = std::clamp<std::int64_t>(kBlocks / across, 1, (t.k + kLeastDepth - 1) / kLeastDepth);
  const std::int64_t depth = (t.k + wanted - 1) / wanted, stretches = (t.k + depth - 1) / depth;
  auto* partial = kernel.scratch<float>(stretches * t.m * t.n);
  const dim3 blocks(static_cast<unsigned>(across), static_cast<unsigned>(stretches));
  multiply_columns<kRows, kVector><<<blocks, kWarps * kWarp, 0, kernel.stream()>>>(t, depth, partial);
  check_launch("matmul_int8");
  add_stretches<<<blocks_for(kernel, t.m * t.n), kThreads, 0, kernel.stream()>>>(t, partial,
                                                                                 static_cast<int>(stretches));
}

template <int kRows, class T>
void launch(const Thin<T>& t, bool trans_b, Kernel& kernel) {
  constexpr int kVector = kRows > 4 ? 8 : 16;
  const bool a_aligned = is_aligned(t.a, 16) && t.k * static_cast<std::int64_t>(sizeof(T)) % 16 == 0;
  if (trans_b) {
    const bool fits = a_aligned && t.k % kVector == 0 && is_aligned(t.b, kVector);
    fits ? launch_rows<kRows, kVector>(t, kernel.stream()) : launch_rows<kRows, 1>(t, kernel.stream());
  } else {
    const bool fits = t.n % 4 == 0 && is_aligned(t.b, 4);
    fits ? launch_columns<kRows, 4>(t, kernel) : launch_columns<kRows, 1>(t, kernel);
  }
  check_launch("matmul_int8");
}

}  // namespace

bool fits_thin(const MatMulInt8& op) { return op.m <= kMostRows; }

void run_thin(const MatMulInt8& op, Kernel& kernel) {
  for_dtype(kernel.dtype(op.a), [&](auto type) {
    using T = decltype(type);
    const Thin<T> t{kernel.data<const T>(op.a),
                    kernel.data<const std::int8_t>(op.b),
                    kernel.data(op.scales),
                    view(kernel, op.bias),
                    view(kernel, op.c),
                    static_cast<int>(op.m),
                    op.n,
                    op.k};
    if (op.m == 1) return launch<1>(t, op.trans_b, kernel);
    if (op.m <= 4) return launch<4>(t, op.trans_b, kernel);
    launch<16>(t, op.trans_b, kernel);
  });
}

}  // namespace shardscope::cuda
