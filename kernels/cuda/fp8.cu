// Casts of a product's operands to fp8: its largest magnitude in one pass, the cast in a second, which reads a small
// operand from the cache. The scale is on the device throughout: nothing waits for the host.
#include <cuda_fp8.h>

#include "core/check.h"
#include "kernels/cuda/access.cuh"
#include "kernels/cuda/fp8.h"

namespace shardscope::cuda {
namespace {

constexpr int kWarps = kThreads / kWarp;

/// The largest of all threads of a block of kThreads, in each of them. All must call it, once.
__device__ unsigned largest_of_block(unsigned v) {
  __shared__ unsigned tops[kWarps];
  for (int step = kWarp / 2; step > 0; step /= 2) v = max(v, __shfl_xor_sync(kAllLanes, v, step));
  if (threadIdx.x % kWarp == 0) tops[threadIdx.x / kWarp] = v;
  __syncthreads();
  v = tops[threadIdx.x % kWarps];
  for (int step = kWarps / 2; step > 0; step /= 2) v = max(v, __shfl_xor_sync(kAllLanes, v, step));
  return v;
}

/// Reads the bytes of x per element. Magnitudes are compared as bits, in which NaN is more than infinity.
template <class A>
__global__ void find_peaks(A x, std::int64_t packs, unsigned* peaks) {
  unsigned peak = 0;
  for (std::int64_t i = first_index(); i < packs; i += index_stride()) {
    float v[A::kN];
    x.load(i * A::kN, v);
#pragma unroll
    for (int j = 0; j < A::kN; ++j) peak = max(peak, __float_as_uint(v[j]) & 0x7fffffffU);
  }
  peak = largest_of_block(peak);
  if (threadIdx.x == 0) peaks[blockIdx.x] = peak;
}

/// By what elements are multiplied before they are rounded; see MatMul. Not finite if one of them is not.
__device__ float scale_of(const unsigned* peaks, int count, float largest) {
  unsigned peak = 0;
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) peak = max(peak, peaks[i]);
  peak = max(largest_of_block(peak), __float_as_uint(kFp8LeastPeak));
  return __fdiv_rn(largest, __uint_as_float(peak));
}

template <Fp8 kFormat>
constexpr __nv_fp8_interpretation_t kKind = kFormat == Fp8::kE5M2 ? __NV_E5M2 : __NV_E4M3;

/// Two at a time, which is one instruction from Ada on.
template <Fp8 kFormat, int kN>
__device__ Pack<std::uint8_t, kN> narrow(const float (&v)[kN], float scale) {
  Pack<std::uint8_t, kN> out;
  if constexpr (kN == 1) {
    out.at[0] = __nv_cvt_float_to_fp8(v[0] * scale, __NV_SATFINITE, kKind<kFormat>);
  } else {
#pragma unroll
    for (int j = 0; j < kN; j += 2) {
      const auto two = __nv_cvt_float2_to_fp8x2({v[j] * scale, v[j + 1] * scale}, __NV_SATFINITE, kKind<kFormat>);
      out.at[j] = static_cast<std::uint8_t>(two & 0xff), out.at[j + 1] = static_cast<std::uint8_t>(two >> 8);
    }
  }
  return out;
}

/// Reads the bytes of x, writes 1 per element.
template <Fp8 kFormat, class A>
__global__ void cast_flat(A x, std::int64_t packs, std::uint8_t* to, float* factor, const unsigned* peaks, int count) {
  const float scale = scale_of(peaks, count, largest_of(kFormat));
  if (first_index() == 0) *factor = __fdiv_rn(1.0f, scale);
  for (std::int64_t i = first_index(); i < packs; i += index_stride()) {
    float v[A::kN];
    x.load(i * A::kN, v);
    store_pack<A::kN>(to + i * A::kN, narrow<kFormat>(v, scale));
  }
}

constexpr int kTile = 64, kTileStride = kTile + 4;  // elements; rows of a turned tile begin at different banks
constexpr int kChunk = 16;                          // bytes that a thread writes; divides rows and cols
constexpr int kTilesOfBlock = 2;                    // at least, since each block reads all peaks first

/// Reads the bytes of x, writes 1 per element. A block turns a tile at a time; the last of a row or column may be cut.
template <Fp8 kFormat, class A>
__global__ void cast_turned(A x, int rows, int cols, std::uint8_t* to, float* factor, const unsigned* peaks,
                            int count) {
  __shared__ alignas(4) std::uint8_t tile[kTile][kTileStride];
  const float scale = scale_of(peaks, count, largest_of(kFormat));
  if (first_index() == 0) *factor = __fdiv_rn(1.0f, scale);
  const int across = (cols + kTile - 1) / kTile, down = (rows + kTile - 1) / kTile;
  for (int t = static_cast<int>(blockIdx.x); t < across * down; t += static_cast<int>(gridDim.x)) {
    const int row = t / across * kTile, col = t % across * kTile;
    __syncthreads();  // the tile before is written
    for (int i = static_cast<int>(threadIdx.x) * A::kN; i < kTile * kTile; i += kThreads * A::kN) {
      const int r = i / kTile, c = i % kTile;
      if (row + r >= rows || col + c >= cols) continue;
      float v[A::kN];
      x.load(static_cast<std::int64_t>(row + r) * cols + col + c, v);
      const auto bytes = narrow<kFormat>(v, scale);
#pragma unroll
      for (int j = 0; j < A::kN; ++j) tile[c + j][r] = bytes.at[j];
    }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < kTile * kTile / kChunk; i += kThreads) {
      const int c = i / (kTile / kChunk), r = i % (kTile / kChunk) * kChunk;
      if (row + r >= rows || col + c >= cols) continue;
      Pack<unsigned, 4> words;
#pragma unroll
      for (int w = 0; w < 4; ++w) words.at[w] = *reinterpret_cast<const unsigned*>(&tile[c][r + 4 * w]);
      store_pack<4>(reinterpret_cast<unsigned*>(to + static_cast<std::int64_t>(col + c) * rows + row + r), words);
    }
  }
}

template <Fp8 kFormat, class A>
void launch(const Kernel& kernel, const Fp8Cast& cast, const Fp8Matrix& to) {
  const A x = A::of(kernel, cast.from);
  const std::int64_t packs = cast.from.count / A::kN;
  const int readers = blocks_for(kernel, packs);
  find_peaks<<<readers, kThreads, 0, kernel.stream()>>>(x, packs, to.peaks);
  check_launch("matmul in fp8");
  if (!cast.turned) {
    cast_flat<kFormat><<<readers, kThreads, 0, kernel.stream()>>>(x, packs, to.data, to.scale, to.peaks, readers);
  } else {
    const std::int64_t tiles = ((cast.rows + kTile - 1) / kTile) * ((cast.cols + kTile - 1) / kTile);
    cast_turned<kFormat><<<blocks_for(kernel, tiles, kTilesOfBlock), kThreads, 0, kernel.stream()>>>(
        x, static_cast<int>(cast.rows), static_cast<int>(cast.cols), to.data, to.scale, to.peaks, readers);
  }
  check_launch("matmul in fp8");
}

}  // namespace

std::int64_t fp8_peaks(const Kernel& kernel) { return blocks_for(kernel, INT64_MAX / 2); }

void cast_to_fp8(const Kernel& kernel, const Fp8Cast& cast, const Fp8Matrix& to) {
  SS_CHECK(cast.rows % kChunk == 0 && cast.cols % kChunk == 0, cast.rows, cast.cols);
  SS_CHECK(cast.rows * cast.cols == cast.from.count, cast.rows, cast.cols, cast.from.count);
  for_access(kernel, 0, {cast.from}, [&](auto access) {
    using A = decltype(access);
    if (cast.format == Fp8::kE5M2) return launch<Fp8::kE5M2, A>(kernel, cast, to);
    launch<Fp8::kE4M3, A>(kernel, cast, to);
  });
}

}  // namespace shardscope::cuda
