#pragma once
// Products of tiles in shared memory, in fp32: what attention is made of where tensor cores cannot be used. A block has
// 256 threads, 16 by 16; of a tile of 16 * R rows a thread has R rows, those of its ty.
//
//   load_tile<64, D>(k_tile, k, stride, rows, d, 1.0f);  __syncthreads();
//   multiply_rows<4, 4, D>(q_tile, k_tile, scores);      // scores[i][j]: row ty * 4 + i, column tx + 16 * j
//   add_product<4, 64, D>(p_tile, v_tile, out);          // out[i][j]: row ty * 4 + i, columns 64 * j + tx * 4 to + 3

#include "kernels/cuda/device.cuh"

namespace shardscope::cuda {

inline constexpr int kTileThreads = 256;

/// From row to row of a tile of `width` floats: rows 4 banks apart, so that 16 bytes of 8 rows are read at once.
constexpr int padded_row(int width) { return width + 4; }

__device__ inline float4& four(float* p) { return *reinterpret_cast<float4*>(p); }
__device__ inline const float4& four(const float* p) { return *reinterpret_cast<const float4*>(p); }

/// tile [ROWS, D] = factor * rows of d elements; zeros beyond `rows` and d.
template <int ROWS, int D, class T>
__device__ inline void load_tile(float* tile, const T* from, std::int64_t stride, std::int64_t rows, int d,
                                 float factor) {
  for (int i = threadIdx.x; i < ROWS * D; i += kTileThreads) {
    const int row = i / D, column = i % D;
    const bool is_there = row < rows && column < d;
    tile[row * padded_row(D) + column] = is_there ? to_float(from[row * stride + column]) * factor : 0.0f;
  }
}

/// s = a b^T over D columns.
template <int RA, int RB, int D>
__device__ inline void multiply_rows(const float* a, const float* b, float (&s)[RA][RB]) {
  constexpr int kRow = padded_row(D);
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
#pragma unroll
  for (int i = 0; i < RA; ++i) {
#pragma unroll
    for (int j = 0; j < RB; ++j) s[i][j] = 0;
  }
#pragma unroll 4
  for (int k = 0; k < D; k += 4) {
    float4 left[RA], right[RB];
#pragma unroll
    for (int i = 0; i < RA; ++i) left[i] = four(a + (ty * RA + i) * kRow + k);
#pragma unroll
    for (int j = 0; j < RB; ++j) right[j] = four(b + (tx + 16 * j) * kRow + k);
#pragma unroll
    for (int i = 0; i < RA; ++i) {
#pragma unroll
      for (int j = 0; j < RB; ++j) {
        s[i][j] += left[i].x * right[j].x + left[i].y * right[j].y + left[i].z * right[j].z + left[i].w * right[j].w;
      }
    }
  }
}

/// p [16 * RA, 16 * RB], from what each thread has of it.
template <int RA, int RB>
__device__ inline void store_products(float* p, const float (&s)[RA][RB]) {
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
#pragma unroll
  for (int i = 0; i < RA; ++i) {
#pragma unroll
    for (int j = 0; j < RB; ++j) p[(ty * RA + i) * padded_row(16 * RB) + tx + 16 * j] = s[i][j];
  }
}

__device__ inline void add_scaled(float4& to, float factor, const float4& v) {
  to.x += factor * v.x, to.y += factor * v.y, to.z += factor * v.z, to.w += factor * v.w;
}

/// acc += p [16 * RA, K] b [K, D].
template <int RA, int K, int D>
__device__ inline void add_product(const float* p, const float* b, float4 (&acc)[RA][D / 64]) {
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
#pragma unroll 2
  for (int k = 0; k < K; k += 4) {
    float4 left[RA];
#pragma unroll
    for (int i = 0; i < RA; ++i) left[i] = four(p + (ty * RA + i) * padded_row(K) + k);
#pragma unroll
    for (int j = 0; j < D / 64; ++j) {
      const float* column = b + k * padded_row(D) + j * 64 + tx * 4;
#pragma unroll
      for (int i = 0; i < RA; ++i) {
        add_scaled(acc[i][j], left[i].x, four(column));
        add_scaled(acc[i][j], left[i].y, four(column + padded_row(D)));
        add_scaled(acc[i][j], left[i].z, four(column + 2 * padded_row(D)));
        add_scaled(acc[i][j], left[i].w, four(column + 3 * padded_row(D)));
      }
    }
  }
}

/// f(row of the tile, column, value) for what a thread has of a [16 * RA, D] tile, up to column d.
template <int RA, int D, class F>
__device__ inline void for_each_column(const float4 (&acc)[RA][D / 64], int d, F&& f) {
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
#pragma unroll
  for (int i = 0; i < RA; ++i) {
#pragma unroll
    for (int j = 0; j < D / 64; ++j) {
      const float values[4] = {acc[i][j].x, acc[i][j].y, acc[i][j].z, acc[i][j].w};
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const int column = 64 * j + 4 * tx + c;
        if (column < d) f(i, ty * RA + i, column, values[c]);
      }
    }
  }
}

/// Over the 16 threads that share a row.
__device__ inline float row_sum(float v) {
  for (int step = 8; step > 0; step /= 2) v += __shfl_xor_sync(kAllLanes, v, step);
  return v;
}
__device__ inline float row_max(float v) {
  for (int step = 8; step > 0; step /= 2) v = fmaxf(v, __shfl_xor_sync(kAllLanes, v, step));
  return v;
}

}  // namespace shardscope::cuda
