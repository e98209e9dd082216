#pragma once
// What all kernels share: the three floating dtypes as floats, the choice of a kernel by dtype, sums over warps and
// blocks, grids. All arithmetic is in fp32 (or double where ops.h says so), rounded once when stored.
//
//   for_dtype(kernel.dtype(op.data), [&](auto type) { using T = decltype(type); scale<T><<<...>>>(...); });

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "core/error.h"
#include "kernels/cuda/kernel.h"

namespace shardscope::cuda {

__device__ inline float to_float(float v) { return v; }
__device__ inline float to_float(__nv_bfloat16 v) { return __bfloat162float(v); }
__device__ inline float to_float(__half v) { return __half2float(v); }
template <class T>
__device__ inline T from_float(float v);
template <>
__device__ inline float from_float<float>(float v) {
  return v;
}
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float v) {
  return __float2bfloat16_rn(v);
}
template <>
__device__ inline __half from_float<__half>(float v) {
  return __float2half_rn(v);
}

/// f(T{}) with the type of a floating dtype.
template <class F>
void for_dtype(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF32:
      return f(float{});
    case DType::kBF16:
      return f(__nv_bfloat16{});
    case DType::kF16:
      return f(__half{});
    default:
      throw Error(ErrorKind::kUnsupported, "this kernel takes f32, bf16 and f16 only");
  }
}

/// An operand whose dtype differs from that of the op's others (gradients beside activations): converted as it is read
/// or written. The branch is the same for all threads.
struct FloatView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  __device__ float load(std::int64_t i) const {
    if (dtype == DType::kF32) return static_cast<const float*>(data)[i];
    if (dtype == DType::kBF16) return to_float(static_cast<const __nv_bfloat16*>(data)[i]);
    return to_float(static_cast<const __half*>(data)[i]);
  }
  __device__ void store(std::int64_t i, float v) const {
    if (dtype == DType::kF32) {
      static_cast<float*>(data)[i] = v;
    } else if (dtype == DType::kBF16) {
      static_cast<__nv_bfloat16*>(data)[i] = from_float<__nv_bfloat16>(v);
    } else {
      static_cast<__half*>(data)[i] = from_float<__half>(v);
    }
  }
  __device__ explicit operator bool() const { return data != nullptr; }
};
inline FloatView view(const Kernel& kernel, const Region& region) {
  if (region.empty()) return {};
  return {kernel.data<void>(region), kernel.dtype(region)};
}

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffU;

template <class T>
__device__ inline T warp_sum(T v) {
  for (int step = kWarp / 2; step > 0; step /= 2) v += __shfl_xor_sync(kAllLanes, v, step);
  return v;
}
__device__ inline float warp_max(float v) {
  for (int step = kWarp / 2; step > 0; step /= 2) v = fmaxf(v, __shfl_xor_sync(kAllLanes, v, step));
  return v;
}

/// The sum over all threads of a block of up to 1024, in each of them; in a fixed order. All threads must call it.
template <class T>
__device__ inline T block_sum(T v) {
  __shared__ T sums[kWarp];
  v = warp_sum(v);
  __syncthreads();  // an earlier call's sums are read
  if (threadIdx.x % kWarp == 0) sums[threadIdx.x / kWarp] = v;
  __syncthreads();
  const unsigned warps = (blockDim.x + kWarp - 1) / kWarp;
  return warp_sum(threadIdx.x % kWarp < warps ? sums[threadIdx.x % kWarp] : T{});
}
/// As block_sum. A NaN counts as nothing, as in fmaxf.
__device__ inline float block_max(float v) {
  __shared__ float tops[kWarp];
  v = warp_max(v);
  __syncthreads();
  if (threadIdx.x % kWarp == 0) tops[threadIdx.x / kWarp] = v;
  __syncthreads();
  const unsigned warps = (blockDim.x + kWarp - 1) / kWarp;
  return warp_max(threadIdx.x % kWarp < warps ? tops[threadIdx.x % kWarp] : -INFINITY);
}

/// Threads per block of element-wise kernels, and blocks for n elements: enough to fill the device, each block striding
/// over the rest.
inline constexpr int kThreads = 256;
inline int blocks_for(const Kernel& kernel, std::int64_t n, int threads = kThreads) {
  const std::int64_t wanted = (n + threads - 1) / threads, most = std::int64_t{kernel.device().multiprocessors} * 8;
  return static_cast<int>(wanted < most ? (wanted > 0 ? wanted : 1) : most);
}
/// The grid-stride loop: for (i = first_index(); i < n; i += index_stride()).
__device__ inline std::int64_t first_index() { return std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }
__device__ inline std::int64_t index_stride() { return std::int64_t{gridDim.x} * blockDim.x; }

}  // namespace shardscope::cuda
