#pragma once
// The loops over a row of 32 lanes that instructions are made of. Where all lanes run, and where computing a lane for
// nothing does no harm, the loop has no condition and becomes vector code.
//
//   return map2<float>(warp, inst, mask, [](float a, float b) { return a + b; });

#include <cstring>

#include "tests/cudasim/ptx/warp.h"

namespace cudasim::ptx {

template <class F>
inline void each_lane(u32 mask, F f) {
  for (u32 m = mask; m != 0; m &= m - 1) f(__builtin_ctz(m));
}

/// Stores those lanes of `from` that run.
template <class T>
inline void store_lanes(T* to, const T* from, u32 mask) {
  if (mask == kAll) {
    std::memcpy(to, from, 32 * sizeof(T));
  } else {
    each_lane(mask, [&](int l) { to[l] = from[l]; });
  }
}

template <class D, class A, class F>
inline Flow convert1(Warp& w, const Inst& i, u32 mask, F f) {
  const A* a = w.row<A>(i.a);
  alignas(64) D out[32];
  for (int l = 0; l < 32; ++l) out[l] = f(a[l]);
  store_lanes(w.row<D>(i.d), out, mask);
  return Flow::kNext;
}

template <class T, class F>
inline Flow map1(Warp& w, const Inst& i, u32 mask, F f) {
  return convert1<T, T>(w, i, mask, f);
}

template <class T, class F>
inline Flow map2(Warp& w, const Inst& i, u32 mask, F f) {
  const T* a = w.row<T>(i.a);
  const T* b = w.row<T>(i.b);
  alignas(64) T out[32];
  for (int l = 0; l < 32; ++l) out[l] = f(a[l], b[l]);
  store_lanes(w.row<T>(i.d), out, mask);
  return Flow::kNext;
}

template <class T, class F>
inline Flow map3(Warp& w, const Inst& i, u32 mask, F f) {
  const T* a = w.row<T>(i.a);
  const T* b = w.row<T>(i.b);
  const T* c = w.row<T>(i.c);
  alignas(64) T out[32];
  for (int l = 0; l < 32; ++l) out[l] = f(a[l], b[l], c[l]);
  store_lanes(w.row<T>(i.d), out, mask);
  return Flow::kNext;
}

/// For what is dear, or undefined for some values: only the lanes that run are computed.
template <class D, class A, class F>
inline Flow map1_running(Warp& w, const Inst& i, u32 mask, F f) {
  const A* a = w.row<A>(i.a);
  D* d = w.row<D>(i.d);
  each_lane(mask, [&](int l) { d[l] = f(a[l]); });
  return Flow::kNext;
}

template <class T, class F>
inline Flow map2_running(Warp& w, const Inst& i, u32 mask, F f) {
  const T* a = w.row<T>(i.a);
  const T* b = w.row<T>(i.b);
  T* d = w.row<T>(i.d);
  each_lane(mask, [&](int l) { d[l] = f(a[l], b[l]); });
  return Flow::kNext;
}

/// Writes the predicate of the lanes that run.
inline void set_predicate(Warp& w, u32 predicate, u32 mask, u32 value) {
  u32& p = w.predicates[predicate];
  p = (p & ~mask) | (value & mask);
}

}  // namespace cudasim::ptx
