#pragma once
// Rows that begin anywhere (of a vocabulary that is no multiple of 8), by all threads of a block: 16 bytes at a time
// but for the ends.
//
//   read_row(row, n, [&](const auto& values) { for (const float v : values) most = fmaxf(most, v); });
//   update_row(row, n, [&](float v) { return v * factor; });

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

/// f(array of floats) for the elements of a row, kN or one at a time, shared out to the threads of a block.
template <class T, class F>
__device__ inline void read_row(T* row, std::int64_t n, F&& f) {
  constexpr int kN = Vectors<T>::kN;
  const RowSplit split(row, n);
  const std::int64_t i = threadIdx.x, last = split.lead + split.packs * kN + i;
  float one[1], pack[kN];
  if (i < split.lead) one[0] = to_float(row[i]), f(one);
  for (std::int64_t p = i; p < split.packs; p += blockDim.x) {
    Vectors<T>{row}.load(split.lead + p * kN, pack);
    f(pack);
  }
  if (last < n) one[0] = to_float(row[last]), f(one);
}

/// Each element becomes f(its value).
template <class T, class F>
__device__ inline void update_row(T* row, std::int64_t n, F&& f) {
  constexpr int kN = Vectors<T>::kN;
  const RowSplit split(row, n);
  const std::int64_t i = threadIdx.x, last = split.lead + split.packs * kN + i;
  if (i < split.lead) row[i] = from_float<T>(f(to_float(row[i])));
  for (std::int64_t p = i; p < split.packs; p += blockDim.x) {
    float pack[kN];
    Vectors<T>{row}.load(split.lead + p * kN, pack);
#pragma unroll
    for (float& v : pack) v = f(v);
    Vectors<T>{row}.store(split.lead + p * kN, pack);
  }
  if (last < n) row[last] = from_float<T>(f(to_float(row[last])));
}

/// Threads of a block for rows of n elements: whole warps, each thread with a few packs.
inline int threads_for_row(std::int64_t n) {
  int threads = kWarp;
  while (threads < 1024 && threads * 16 < n) threads *= 2;
  return threads;
}

}  // namespace shardscope::cuda
