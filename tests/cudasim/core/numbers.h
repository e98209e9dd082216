#pragma once
// Narrow floating-point formats as bits: bfloat16, float16, the two float8 of Hopper, tf32. Rounded to nearest, ties to
// even, unless a name says otherwise.

#include <bit>
#include <cmath>
#include <limits>

#include "tests/cudasim/core/types.h"

namespace cudasim {

inline float from_bf16(u16 bits) { return std::bit_cast<float>(static_cast<u32>(bits) << 16); }

inline u16 to_bf16(float value) {
  const u32 bits = std::bit_cast<u32>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
  return static_cast<u16>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float from_f16(u16 bits) {
  const u32 sign = static_cast<u32>(bits & 0x8000) << 16, rest = bits & 0x7fffu;
  if (rest < 0x0400) return std::bit_cast<float>(sign | std::bit_cast<u32>(static_cast<float>(rest) * 0x1p-24f));
  const u32 bias = rest >= 0x7c00 ? 0xE0u << 23 : 0x70u << 23;  // infinities and NaN keep their exponent of ones
  return std::bit_cast<float>(sign | ((rest << 13) + bias));
}
inline u16 to_f16(float value) {
  const u32 bits = std::bit_cast<u32>(value), rest = bits & 0x7fffffff;
  const u16 sign = static_cast<u16>(bits >> 16 & 0x8000);
  if (rest > 0x7f800000) return 0x7fff;
  if (rest >= 0x477ff000) return sign | 0x7c00;  // 65520, half way to what would come next
  if (rest < 0x38800000) {  // below the normal ones: the sum with 0.5 has their unit, 2^-24, as its last place
    const float sum = std::bit_cast<float>(rest) + 0.5f;
    return static_cast<u16>(sign | (std::bit_cast<u32>(sum) - std::bit_cast<u32>(0.5f)));
  }
  return static_cast<u16>(sign | ((rest + 0xfff + (rest >> 13 & 1) - (0x70u << 23)) >> 13));
}

/// Ties away from zero, as cvt.rna; the format keeps a float's exponent and 10 bits of its fraction.
inline float to_tf32(float value) {
  const u32 bits = std::bit_cast<u32>(value);
  if ((bits & 0x7f800000) == 0x7f800000) return value;
  return std::bit_cast<float>((bits + 0x1000) & ~0x1fffu);
}

/// The nearest float of a double, or where it lies between two the one whose last bit is set: rounding that again to a
/// format of at most 22 bits gives what one rounding would.
inline float to_odd_float(double value) {
  float near = static_cast<float>(value);
  const double error = value - static_cast<double>(near);
  if (error == 0 || error != error || std::isinf(near)) return near;
  u32 bits = std::bit_cast<u32>(near);
  if ((bits & 1) != 0) return near;
  const bool away = (error > 0) == (near > 0 || (near == 0 && error > 0));
  if (near == 0)
    return error > 0 ? std::numeric_limits<float>::denorm_min() : -std::numeric_limits<float>::denorm_min();
  bits = away ? bits + 1 : bits - 1;
  return std::bit_cast<float>(bits);
}

/// a * b + c of narrow values (their product is exact in a double), in such a way that rounding it to them is one
/// rounding.
inline float narrow_fma(float a, float b, float c) {
  const double product = static_cast<double>(a) * b;
  const double sum = product + c;
  const double bb = sum - product;
  const double error = (product - (sum - bb)) + (c - bb);
  if (error == 0 || error != error) return to_odd_float(sum);
  u64 bits = std::bit_cast<u64>(sum);
  if ((bits & 1) == 0) bits = ((error > 0) == (sum > 0)) ? bits + 1 : bits - 1;
  return to_odd_float(std::bit_cast<double>(bits));
}

/// A subnormal becomes a zero of its sign.
inline float flush_subnormal(float value) {
  return std::fabs(value) < std::numeric_limits<float>::min() ? std::copysign(0.f, value) : value;
}

enum class Float8 { kE4M3, kE5M2 };
float from_f8(u8 bits, Float8 format);
/// Saturates to the largest finite value.
u8 to_f8(float value, Float8 format);

}  // namespace cudasim
