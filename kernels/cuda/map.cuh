#pragma once
// Ops that make each element of their outputs from the same element of their inputs. F has kIn, kOut and
// operator()(const float* in, float* out); an output may be an input. Moves the bytes of all operands per element.
//
//   map(kernel, "swiglu", SwiGluValue{}, n, {op.gate, op.up, op.out});   // inputs, then outputs

#include "kernels/cuda/access.cuh"

namespace shardscope::cuda {

template <class A, int kCount>
struct Operands {
  A at[kCount];
};

/// Vectors of each input that a thread has asked for before it uses the first, so that enough bytes are on their way
/// however few threads fit.
template <class F>
constexpr int kDeep = F::kIn == 1 ? 4 : 2;

/// A block takes a stretch of kThreads * kDeep vectors.
template <class F, class A>
__global__ void map_elements(F f, Operands<A, F::kIn + F::kOut> operands, std::int64_t n) {
  constexpr int kN = A::kN;
  const std::int64_t whole = n / kN, first = std::int64_t{blockIdx.x} * (kThreads * kDeep<F>)+threadIdx.x;
  typename A::Raw raw[kDeep<F>][F::kIn];
#pragma unroll
  for (int d = 0; d < kDeep<F>; ++d) {
    const std::int64_t i = first + d * kThreads;
#pragma unroll
    for (int k = 0; k < F::kIn; ++k) raw[d][k] = i < whole ? operands.at[k].read(i * kN) : typename A::Raw{};
  }
#pragma unroll
  for (int d = 0; d < kDeep<F>; ++d) {
    const std::int64_t i = first + d * kThreads;
    float in[F::kIn][kN], out[F::kOut][kN];
#pragma unroll
    for (int k = 0; k < F::kIn; ++k) A::widen(raw[d][k], in[k]);
#pragma unroll
    for (int j = 0; j < kN; ++j) {
      float x[F::kIn], y[F::kOut];
#pragma unroll
      for (int k = 0; k < F::kIn; ++k) x[k] = in[k][j];
      f(x, y);
#pragma unroll
      for (int k = 0; k < F::kOut; ++k) out[k][j] = y[k];
    }
    if (i >= whole) break;
#pragma unroll
    for (int k = 0; k < F::kOut; ++k) operands.at[F::kIn + k].store(i * kN, out[k]);
  }
  const std::int64_t i = whole * kN + threadIdx.x;  // fewer than kN are left
  if (blockIdx.x > 0 || i >= n) return;
  float x[F::kIn], y[F::kOut];
#pragma unroll
  for (int k = 0; k < F::kIn; ++k) x[k] = operands.at[k].load(i);
  f(x, y);
#pragma unroll
  for (int k = 0; k < F::kOut; ++k) operands.at[F::kIn + k].store(i, y[k]);
}

template <class F>
void map(const Kernel& kernel, const char* what, F f, std::int64_t n, std::initializer_list<Region> operands) {
  if (n == 0) return;
  for_access(kernel, 0, operands, [&](auto access) {
    using A = decltype(access);
    constexpr std::int64_t kBlock = A::kN * kThreads * kDeep<F>;
    Operands<A, F::kIn + F::kOut> all;
    int k = 0;
    for (const Region& region : operands) all.at[k++] = A::of(kernel, region);
    map_elements<<<static_cast<unsigned>((n + kBlock - 1) / kBlock), kThreads, 0, kernel.stream()>>>(f, all, n);
    check_launch(what);
  });
}

}  // namespace shardscope::cuda
