#pragma once
// Vectors of SS_WIDTH floats for the hot loops, written with the compilers' vector types: one source, three instruction
// sets. Everything here has internal linkage: these files are built with several -march flags, and nothing of one build
// may be linked into another. For the same reason the loops include no library headers with inline functions.
//
//   F sum = splat(0);
//   for_each_vector(n, [&](auto chunk) { sum += load(x, chunk) * load(y, chunk); });   // the tail reads as zeros

#include <cstdint>

namespace shardscope::SS_ISA {
namespace {

constexpr int kWidth = SS_WIDTH;
using F = float __attribute__((vector_size(SS_WIDTH * 4)));
using U = std::uint32_t __attribute__((vector_size(SS_WIDTH * 4)));
using H = std::uint16_t __attribute__((vector_size(SS_WIDTH * 2)));
using B = std::int8_t __attribute__((vector_size(SS_WIDTH)));

#define SS_INLINE inline __attribute__((always_inline))

SS_INLINE F splat(float v) { return F{} + v; }

SS_INLINE F load(const float* p) {
  F v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
SS_INLINE void store(float* p, F v) { __builtin_memcpy(p, &v, sizeof v); }

SS_INLINE U bits_of(F v) {
  U out;
  __builtin_memcpy(&out, &v, sizeof v);
  return out;
}
SS_INLINE F float_of(U v) {
  F out;
  __builtin_memcpy(&out, &v, sizeof v);
  return out;
}

/// Elements [at, at + kWidth), or the last `count` < kWidth of a loop.
struct Whole {
  std::int64_t at;
};
struct Tail {
  std::int64_t at;
  int count;
};

template <class T>
SS_INLINE F load(const T* p, Whole w) {
  return load(p + w.at);
}
template <class T>
SS_INLINE void store(T* p, Whole w, F v) {
  store(p + w.at, v);
}
template <class T>
SS_INLINE F load(const T* p, Tail t) {
  T lanes[kWidth] = {};
  for (int i = 0; i < t.count; ++i) lanes[i] = p[t.at + i];
  return load(lanes);
}
template <class T>
SS_INLINE void store(T* p, Tail t, F v) {
  T lanes[kWidth];
  store(lanes, v);
  for (int i = 0; i < t.count; ++i) p[t.at + i] = lanes[i];
}

template <class T>
SS_INLINE float load_one(const T* p) {
  return load(p, Tail{0, 1})[0];
}
SS_INLINE float load_one(const float* p) { return *p; }

/// f(Whole) for every whole vector of n elements, then f(Tail) for the rest.
template <class Body>
SS_INLINE void for_each_vector(std::int64_t n, Body&& f) {
  std::int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) f(Whole{i});
  if (i < n) f(Tail{i, static_cast<int>(n - i)});
}

SS_INLINE F max(F a, F b) { return a > b ? a : b; }
SS_INLINE F min(F a, F b) { return a < b ? a : b; }

/// Pairwise, always in the same order.
SS_INLINE float sum(F v) {
  float lanes[kWidth];
  store(lanes, v);
  for (int half = kWidth / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}
SS_INLINE float max_lane(F v) {
  float best = v[0];
  for (int i = 1; i < kWidth; ++i) best = v[i] > best ? v[i] : best;
  return best;
}

}  // namespace
}  // namespace shardscope::SS_ISA
