#pragma once
// Floating operands read and written 16 bytes at a time where dtypes, addresses and widths allow, else by element.
//
//   with_packs(kernel, op.hidden, {op.x, op.out}, [&](auto access) {
//     const auto x = access(op.x), out = access(op.out);   // x.load(i, v): pack i of x into float v[x.kWidth]
//     copy<<<...>>>(x, out, op.rows * op.hidden / x.kWidth);
//   });

#include <initializer_list>

#include "kernels/cuda/device.cuh"

namespace shardscope::cuda {

inline constexpr int kPackBytes = 16;
template <class T>
inline constexpr int kPackWidth = kPackBytes / static_cast<int>(sizeof(T));

template <class T>
__device__ inline void load_pack(const T* from, float (&v)[kPackWidth<T>]) {
  const uint4 bits = *reinterpret_cast<const uint4*>(from);
  const T* values = reinterpret_cast<const T*>(&bits);
#pragma unroll
  for (int j = 0; j < kPackWidth<T>; ++j) v[j] = to_float(values[j]);
}
template <class T>
__device__ inline void store_pack(T* to, const float (&v)[kPackWidth<T>]) {
  uint4 bits;
  T* values = reinterpret_cast<T*>(&bits);
#pragma unroll
  for (int j = 0; j < kPackWidth<T>; ++j) values[j] = from_float<T>(v[j]);
  *reinterpret_cast<uint4*>(to) = bits;
}

/// An operand of one dtype as packs.
template <class T>
struct Packs {
  static constexpr int kWidth = kPackWidth<T>;
  T* data;
  __device__ void load(std::int64_t i, float (&v)[kWidth]) const { load_pack(data + i * kWidth, v); }
  __device__ void store(std::int64_t i, const float (&v)[kWidth]) const { store_pack(data + i * kWidth, v); }
};

/// One of any dtype, an element to a pack.
struct Singles {
  static constexpr int kWidth = 1;
  FloatView data;
  __device__ void load(std::int64_t i, float (&v)[1]) const { v[0] = data.load(i); }
  __device__ void store(std::int64_t i, const float (&v)[1]) const { data.store(i, v[0]); }
};

inline bool is_aligned(const void* data) { return reinterpret_cast<std::uintptr_t>(data) % kPackBytes == 0; }

/// f(access), where access(region) gives Packs or Singles for each of `regions`. A pack never lies across a multiple of
/// `width` elements.
template <class F>
void with_packs(const Kernel& kernel, std::int64_t width, std::initializer_list<Region> regions, F&& f) {
  const DType dtype = kernel.dtype(*regions.begin());
  bool packs = width % (kPackBytes / size_of(dtype)) == 0;
  for (const Region& region : regions) {
    packs = packs && kernel.dtype(region) == dtype && is_aligned(kernel.data<void>(region));
  }
  if (!packs) return f([&](const Region& region) { return Singles{view(kernel, region)}; });
  for_dtype(dtype, [&](auto type) {
    using T = decltype(type);
    f([&](const Region& region) { return Packs<T>{kernel.data<T>(region)}; });
  });
}

/// A row that begins anywhere: elements before the first whole pack, and packs.
struct RowSplit {
  std::int64_t lead, packs;
  template <class T>
  __device__ RowSplit(const T* row, std::int64_t n) {
    const auto off = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(row) % kPackBytes / sizeof(T));
    lead = (kPackWidth<T> - off) % kPackWidth<T>;
    if (lead > n) lead = n;
    packs = (n - lead) / kPackWidth<T>;
  }
};

/// f(element's number, value) for the elements of a row, shared out to the threads of a block.
template <class T, class F>
__device__ inline void read_row(const T* row, std::int64_t n, F&& f) {
  const RowSplit split(row, n);
  if (threadIdx.x < split.lead) f(std::int64_t{threadIdx.x}, to_float(row[threadIdx.x]));
  for (std::int64_t p = threadIdx.x; p < split.packs; p += blockDim.x) {
    const std::int64_t first = split.lead + p * kPackWidth<T>;
    float v[kPackWidth<T>];
    load_pack(row + first, v);
#pragma unroll
    for (int j = 0; j < kPackWidth<T>; ++j) f(first + j, v[j]);
  }
  const std::int64_t last = split.lead + split.packs * kPackWidth<T> + threadIdx.x;
  if (last < n) f(last, to_float(row[last]));
}

/// Each element becomes f(its number, its value).
template <class T, class F>
__device__ inline void update_row(T* row, std::int64_t n, F&& f) {
  const RowSplit split(row, n);
  if (threadIdx.x < split.lead) row[threadIdx.x] = from_float<T>(f(threadIdx.x, to_float(row[threadIdx.x])));
  for (std::int64_t p = threadIdx.x; p < split.packs; p += blockDim.x) {
    const std::int64_t first = split.lead + p * kPackWidth<T>;
    float v[kPackWidth<T>];
    load_pack(row + first, v);
#pragma unroll
    for (int j = 0; j < kPackWidth<T>; ++j) v[j] = f(first + j, v[j]);
    store_pack(row + first, v);
  }
  const std::int64_t last = split.lead + split.packs * kPackWidth<T> + threadIdx.x;
  if (last < n) row[last] = from_float<T>(f(last, to_float(row[last])));
}

/// Threads of a block for rows of n elements: whole warps, each thread with a few packs.
inline int threads_for_row(std::int64_t n) {
  int threads = kWarp;
  while (threads < 1024 && threads * 16 < n) threads *= 2;
  return threads;
}

}  // namespace shardscope::cuda
