#pragma once
// exp, the logistic function and the normal distribution, on vectors. Errors are against the true value, measured over
// all floats of the range by kernels/cpu/vector_math_test.cpp.

#include "kernels/cpu/loops/simd.h"

namespace shardscope::SS_ISA {
namespace {

/// e^x, relative error below 2e-7; 0 below -87.3, infinite above 88.3; NaN stays NaN.
/// x = n ln 2 + r with |r| <= ln 2 / 2; e^r = 1 + r + r^2 q(r), q a Chebyshev fit of degree 4 (8e-9).
SS_INLINE F exp(F x) {
  constexpr float kLowest = -87.3f, kHighest = 88.3f, kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to integer
  const F shifted = x * 1.44269504f + kRound;
  const F n = shifted - kRound;
  const F r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
  F q = r * 0.001392625083f + 0.008363232884f;
  q = q * r + 0.04166655421f;
  q = q * r + 0.1666657667f;
  q = q * r + 0.5f;
  const F e = (q * r) * r + r + 1.0f;
  const F scaled = e * float_of((bits_of(shifted) << 23) + (127U << 23));
  return x < kLowest ? splat(0) : (x > kHighest ? splat(__builtin_inff()) : scaled);
}

/// 1 / (1 + e^-x), relative error below 4e-7.
SS_INLINE F logistic(F x) { return 1.0f / (1.0f + exp(-x)); }

/// The standard normal distribution function and its density: out.value = P(X <= x), absolute error below 3e-7, and a
/// relative one below 1e-5 down to x = -13. P(X <= -|x|) = t p(t) e^(-x^2/2), t = 1 / (1 + 0.35 |x|), p a Chebyshev fit
/// of degree 8 (4e-8).
struct Normal {
  F value, density;
};
SS_INLINE Normal normal(F x) {
  const F size = x < 0.0f ? -x : x;
  const F t = 1.0f / (size * 0.35f + 1.0f);
  const F e = exp(x * x * -0.5f);
  F p = t * -0.029679522f + 0.1465458303f;
  p = p * t + -0.2609612283f;
  p = p * t + 0.1650509959f;
  p = p * t + -0.02704660827f;
  p = p * t + 0.1071145876f;
  p = p * t + 0.1194449168f;
  p = p * t + 0.1399122981f;
  p = p * t + 0.1396187126f;
  const F lower = p * t * e;
  return {x < 0.0f ? lower : 1.0f - lower, e * 0.398942280f};
}

}  // namespace
}  // namespace shardscope::SS_ISA
