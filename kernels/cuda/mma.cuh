#pragma once
// Tiles of bf16 or fp16 in shared memory and their products on tensor cores, summed in fp32: PTX that every GPU from
// sm_80 on runs. A warp has 16 M rows of a product; what a thread has of 16 rows and 8 columns is c[4]: row lane / 4,
// columns lane % 4 * 2 and the next, then the same of row lane / 4 + 8.
// A tile has D columns; its rows' 16-byte chunks are swapped about so that eight rows' same chunk are in 32 banks.
//
//   tile.copy_rows<kThreads>(k, stride, rows);  copies_end_stage();  copies_wait<0>();  __syncthreads();
//   multiply_rows<T>(Rows<D, M>{q_tile, row}, k_tile, scores);   // scores [16 M, 8 N] = q k^T
//   add_product<T>(scores, v_tile, out);                         // out [16 M, D] += scores v

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/powers.cuh"

namespace shardscope::cuda {

/// The code for older GPUs, which is never run, has none of it.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
inline constexpr bool kHasMma = false;
#else
inline constexpr bool kHasMma = true;
#endif

__device__ inline std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

/// 16 bytes from global to shared memory while the thread goes on.
__device__ inline void copy_16(std::uint32_t to, const void* from) {
  if constexpr (kHasMma) asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}
/// The copies begun since the last call are a stage; all stages but the last `LEFT` are there after copies_wait.
__device__ inline void copies_end_stage() {
  if constexpr (kHasMma) asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int LEFT>
__device__ inline void copies_wait() {
  if constexpr (kHasMma) asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}

/// Four 8 x 8 matrices; lane l gives the address of row l % 8 of matrix l / 8.
__device__ inline void load_matrices(std::uint32_t (&r)[4], std::uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address));
}
__device__ inline void load_matrices_transposed(std::uint32_t (&r)[4], std::uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address));
}

/// c [16, 8] += a [16, 16] b [16, 8].
template <class T>
__device__ inline void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);
template <>
__device__ inline void multiply_add<__nv_bfloat16>(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                                   std::uint32_t b1) {
  if constexpr (kHasMma)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
__device__ inline void multiply_add<__half>(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                            std::uint32_t b1) {
  if constexpr (kHasMma)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Two floats rounded, the first in the low half.
template <class T>
__device__ inline std::uint32_t two(float low, float high);
template <>
__device__ inline std::uint32_t two<__nv_bfloat16>(float low, float high) {
  const __nv_bfloat162 v = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&v);
}
template <>
__device__ inline std::uint32_t two<__half>(float low, float high) {
  const __half2 v = __floats2half2_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&v);
}

/// [rows, D] of a 16-bit dtype in shared memory.
template <int D>
struct Tile {
  std::uint32_t begin;  ///< a multiple of 128

  static constexpr int bytes(int rows) { return rows * D * 2; }
  __device__ std::uint32_t at(int row, int chunk) const { return begin + row * D * 2 + ((chunk ^ (row & 7)) * 16); }

  /// Rows [0, ROWS) from global memory; beyond `rows`, which is 1 or more, the last again. By THREADS threads.
  template <int ROWS, int THREADS, class T>
  __device__ void copy_rows(const T* from, std::int64_t stride, int rows) const {
#pragma unroll
    for (int i = threadIdx.x; i < ROWS * D / 8; i += THREADS) {
      const int row = i / (D / 8), chunk = i % (D / 8);
      copy_16(at(row, chunk), from + (row < rows ? row : rows - 1) * stride + chunk * 8);
    }
  }
  /// Columns [16 k, 16 k + 16) of rows [row, row + 16), as the left factor of a product.
  __device__ void load_left(int row, int k, std::uint32_t (&a)[4]) const {
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    load_matrices(a, at(row + lane % 16, 2 * k + lane / 16));
  }
  /// The same columns of rows [row, row + 16), as the right factor of a product over columns: b[0] and b[1] for the
  /// first 8 rows.
  __device__ void load_right(int row, int k, std::uint32_t (&b)[4]) const {
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    load_matrices(b, at(row + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2));
  }
  /// Rows [row, row + 16) of columns [16 n, 16 n + 16), as the right factor of a product over rows.
  __device__ void load_right_transposed(int row, int n, std::uint32_t (&b)[4]) const {
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    load_matrices_transposed(b, at(row + lane / 8 % 2 * 8 + lane % 8, 2 * n + lane / 16));
  }
};

/// 16 M rows of a tile as the left factor of a product, read each time or kept in registers.
template <int D, int M>
struct Rows {
  const Tile<D>& tile;
  int row;
  __device__ void load(int k, std::uint32_t (&a)[M][4]) const {
#pragma unroll
    for (int m = 0; m < M; ++m) tile.load_left(row + 16 * m, k, a[m]);
  }
};
template <int D, int M>
struct HeldRows {
  std::uint32_t held[D / 16][M][4];
  __device__ explicit HeldRows(const Rows<D, M>& rows) {
#pragma unroll
    for (int k = 0; k < D / 16; ++k) rows.load(k, held[k]);
  }
  __device__ void load(int k, std::uint32_t (&a)[M][4]) const {
#pragma unroll
    for (int i = 0; i < 4 * M; ++i) a[i / 4][i % 4] = held[k][i / 4][i % 4];
  }
};

/// What a warp has of [16 M, 8 N].
template <int M, int N>
using Product = float[M][N][4];

/// c = a b^T, of 8 N rows of `b`.
template <class T, class Left, int D, int M, int N>
__device__ inline void multiply_rows(const Left& a, const Tile<D>& b, Product<M, N>& c) {
#pragma unroll
  for (int i = 0; i < M * N * 4; ++i) c[i / (4 * N)][i / 4 % N][i % 4] = 0;
#pragma unroll
  for (int k = 0; k < D / 16; ++k) {
    std::uint32_t left[M][4];
    a.load(k, left);
#pragma unroll
    for (int n = 0; n < N; n += 2) {
      std::uint32_t right[4];
      b.load_right(n * 8, k, right);
#pragma unroll
      for (int m = 0; m < M; ++m) {
        multiply_add<T>(c[m][n], left[m], right[0], right[1]);
        multiply_add<T>(c[m][n + 1], left[m], right[2], right[3]);
      }
    }
  }
}

/// acc += p b, of 8 N rows of `b`; p rounded to T.
template <class T, int D, int M, int N>
__device__ inline void add_product(const Product<M, N>& p, const Tile<D>& b, Product<M, D / 8>& acc) {
#pragma unroll
  for (int k = 0; k < N / 2; ++k) {
    std::uint32_t left[M][4];
#pragma unroll
    for (int m = 0; m < M; ++m) {
      const float(&first)[4] = p[m][2 * k], (&second)[4] = p[m][2 * k + 1];
      left[m][0] = two<T>(first[0], first[1]), left[m][1] = two<T>(first[2], first[3]);
      left[m][2] = two<T>(second[0], second[1]), left[m][3] = two<T>(second[2], second[3]);
    }
#pragma unroll
    for (int n = 0; n < D / 8; n += 2) {
      std::uint32_t right[4];
      b.load_right_transposed(k * 16, n / 2, right);
#pragma unroll
      for (int m = 0; m < M; ++m) {
        multiply_add<T>(acc[m][n], left[m], right[0], right[1]);
        multiply_add<T>(acc[m][n + 1], left[m], right[2], right[3]);
      }
    }
  }
}

/// A product, each row times its factor, rounded to T, to rows from `row` on in global memory, up to row `rows`:
/// through those rows of `tile`, which only this warp may use, so that 16 bytes are written at once.
template <class T, int D, int M>
__device__ inline void store_rows(const Product<M, D / 8>& acc, const float (&factor)[M][2], const Tile<D>& tile,
                                  int row, int rows, T* to, std::int64_t stride) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  __syncwarp();  // the rows have been read
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int i = 0; i < D / 4; ++i) {
      const int n = i / 2, half = i % 2;
      const float *v = acc[m][n] + 2 * half, f = factor[m][half];
      const std::uint32_t to_tile = tile.at(row + 16 * m + lane / 4 + 8 * half, n) + lane % 4 * 4;
      asm volatile("st.shared.b32 [%0], %1;" ::"r"(to_tile), "r"(two<T>(v[0] * f, v[1] * f)) : "memory");
    }
  }
  __syncwarp();
  for (int i = lane; i < M * 16 * D / 8; i += kWarp) {
    const int r = row + i / (D / 8), chunk = i % (D / 8);
    if (r >= rows) continue;
    uint4 v;
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "r"(tile.at(r, chunk))
                 : "memory");
    *reinterpret_cast<uint4*>(to + r * stride + chunk * 8) = v;
  }
}

}  // namespace shardscope::cuda
