#pragma once
// How kernels reach their operands: 16 bytes at a time where all operands of an op have one dtype and address and width
// allow it, else element by element, in any mix of dtypes. A kernel is a template over the access A and works on A::kN
// consecutive elements as floats.
//
//   for_access(kernel, op.hidden, {op.x, op.out}, [&](auto access) {
//     using A = decltype(access);
//     norm<A><<<...>>>(A::of(kernel, op.x), A::of(kernel, op.out), op.hidden);
//   });

#include <initializer_list>

#include "kernels/cuda/device.cuh"

namespace shardscope::cuda {

/// N elements that are moved together.
template <class T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack {
  T at[N];
};
template <int N, class T>
__device__ inline Pack<T, N> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <int N, class T>
__device__ inline void store_pack(T* to, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

/// Operands of dtype T at multiples of 16 bytes.
template <class T>
struct Vectors {
  static constexpr int kN = 16 / sizeof(T);
  using Raw = Pack<T, kN>;  ///< as it lies in memory: half the registers of floats for 16 bits
  T* data = nullptr;
  static Vectors of(const Kernel& kernel, const Region& region) { return {kernel.data<T>(region)}; }
  __device__ Raw read(std::int64_t i) const { return load_pack<kN>(data + i); }
  static __device__ void widen(const Raw& raw, float (&to)[kN]) {
#pragma unroll
    for (int j = 0; j < kN; ++j) to[j] = to_float(raw.at[j]);
  }
  __device__ void load(std::int64_t i, float (&to)[kN]) const { widen(read(i), to); }
  __device__ void store(std::int64_t i, const float (&from)[kN]) const {
    Pack<T, kN> pack;
#pragma unroll
    for (int j = 0; j < kN; ++j) pack.at[j] = from_float<T>(from[j]);
    store_pack<kN>(data + i, pack);
  }
  __device__ float load(std::int64_t i) const { return to_float(data[i]); }
  __device__ void store(std::int64_t i, float v) const { data[i] = from_float<T>(v); }
  __device__ explicit operator bool() const { return data != nullptr; }
};

/// Operands of any floating dtypes at any address.
struct Scalars {
  static constexpr int kN = 1;
  using Raw = float;
  FloatView view;
  static Scalars of(const Kernel& kernel, const Region& region) { return {cuda::view(kernel, region)}; }
  __device__ Raw read(std::int64_t i) const { return view.load(i); }
  static __device__ void widen(Raw raw, float (&to)[1]) { to[0] = raw; }
  __device__ void load(std::int64_t i, float (&to)[1]) const { to[0] = view.load(i); }
  __device__ void store(std::int64_t i, const float (&from)[1]) const { view.store(i, from[0]); }
  __device__ float load(std::int64_t i) const { return view.load(i); }
  __device__ void store(std::int64_t i, float v) const { view.store(i, v); }
  __device__ explicit operator bool() const { return view.data != nullptr; }
};

inline bool is_aligned(const void* data, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(data) % bytes == 0;
}

/// f(Vectors<T>{}) or f(Scalars{}). Rows of `width` elements begin at a vector; 0: there are no rows. Empty regions do
/// not count.
template <class F>
void for_access(const Kernel& kernel, std::int64_t width, std::initializer_list<Region> operands, F&& f) {
  const DType dtype = kernel.dtype(*operands.begin());
  bool fits = width % (16 / size_of(dtype)) == 0;
  for (const Region& region : operands) {
    if (region.empty()) continue;
    fits = fits && kernel.dtype(region) == dtype && is_aligned(kernel.data<void>(region), 16);
  }
  if (!fits) return f(Scalars{});
  for_dtype(dtype, [&](auto type) { f(Vectors<decltype(type)>{}); });
}

}  // namespace shardscope::cuda
