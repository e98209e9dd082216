#pragma once
// Rows that begin anywhere (of a vocabulary that is no multiple of 8), by all threads of a block: 16 bytes at a time
// but for the ends.
//
//   read_row(row, n, [&](std::int64_t i, float v) { most = fmaxf(most, v); });
//   update_row(row, n, [&](std::int64_t i, float v) { return v * factor; });

#include "kernels/cuda/access.cuh"

namespace shardscope::cuda {

/// A row that begins anywhere: elements before the first whole pack, and packs.
struct RowSplit {
  std::int64_t lead, packs;
  template <class T>
  __device__ RowSplit(const T* row, std::int64_t n) {
    constexpr std::int64_t kN = Vectors<T>::kN;
    const auto off = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(row) % 16 / sizeof(T));
    lead = (kN - off) % kN;
    if (lead > n) lead = n;
    packs = (n - lead) / kN;
  }
};

/// f(element's number, value) for the elements of a row, shared out to the threads of a block.
template <class T, class F>
__device__ inline void read_row(T* row, std::int64_t n, F&& f) {
  constexpr int kN = Vectors<T>::kN;
  const RowSplit split(row, n);
  if (threadIdx.x < split.lead) f(std::int64_t{threadIdx.x}, to_float(row[threadIdx.x]));
  for (std::int64_t p = threadIdx.x; p < split.packs; p += blockDim.x) {
    const std::int64_t first = split.lead + p * kN;
    float v[kN];
    Vectors<T>{row}.load(first, v);
#pragma unroll
    for (int j = 0; j < kN; ++j) f(first + j, v[j]);
  }
  const std::int64_t last = split.lead + split.packs * kN + threadIdx.x;
  if (last < n) f(last, to_float(row[last]));
}

/// Each element becomes f(its number, its value).
template <class T, class F>
__device__ inline void update_row(T* row, std::int64_t n, F&& f) {
  constexpr int kN = Vectors<T>::kN;
  const RowSplit split(row, n);
  if (threadIdx.x < split.lead) row[threadIdx.x] = from_float<T>(f(threadIdx.x, to_float(row[threadIdx.x])));
  for (std::int64_t p = threadIdx.x; p < split.packs; p += blockDim.x) {
    const std::int64_t first = split.lead + p * kN;
    float v[kN];
    Vectors<T>{row}.load(first, v);
#pragma unroll
    for (int j = 0; j < kN; ++j) v[j] = f(first + j, v[j]);
    Vectors<T>{row}.store(first, v);
  }
  const std::int64_t last = split.lead + split.packs * kN + threadIdx.x;
  if (last < n) row[last] = from_float<T>(f(last, to_float(row[last])));
}

/// Threads of a block for rows of n elements: whole warps, each thread with a few packs.
inline int threads_for_row(std::int64_t n) {
  int threads = kWarp;
  while (threads < 1024 && threads * 16 < n) threads *= 2;
  return threads;
}

}  // namespace shardscope::cuda
