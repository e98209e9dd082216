#pragma once
// The 16-bit formats as vectors: loads widen exactly, stores round to nearest even; too large a number becomes
// infinity, NaN stays NaN. Integer arithmetic on the bits, so that every instruction set gives the same bits.
//
//   F x = load(row + i);   // row: const BF16*, const F16*, or const float*

#include "kernels/cpu/loops/simd.h"

namespace shardscope::SS_ISA {
namespace {

struct BF16 {
  std::uint16_t bits;
};
struct F16 {
  std::uint16_t bits;
};

SS_INLINE U load_bits(const void* p) {
  H v;
  __builtin_memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, U);
}
SS_INLINE void store_bits(void* p, U v) {
  const H narrow = __builtin_convertvector(v, H);
  __builtin_memcpy(p, &narrow, sizeof narrow);
}

SS_INLINE F load(const BF16* p) { return float_of(load_bits(p) << 16); }
SS_INLINE void store(BF16* p, F v) {
  const U b = bits_of(v);
  const U rounded = (b + 0x7fffU + ((b >> 16) & 1U)) >> 16, quiet = (b >> 16) | 0x40U;
  store_bits(p, (b & 0x7fffffffU) > 0x7f800000U ? quiet : rounded);
}

/// Subnormal numbers by a subtraction in fp32, which normalises them.
SS_INLINE F load(const F16* p) {
  const U h = load_bits(p), sign = (h & 0x8000U) << 16, size = (h & 0x7fffU) << 13;
  const U normal = size + ((127U - 15U) << 23), special = size + ((255U - 31U) << 23);
  const U least = U{} + ((127U - 14U) << 23);
  const U subnormal = bits_of(float_of(size + least) - float_of(least));
  const U finite = size < (1U << 23) ? subnormal : normal;
  return float_of((size >= (31U << 23) ? special : finite) | sign);
}

/// Three cases, all computed: too large or NaN; subnormal (an addition in fp32 rounds at the right bit); the rest.
SS_INLINE void store(F16* p, F v) {
  constexpr std::uint32_t kInfinity = 0x7f800000U, kTooLarge = (127U + 16U) << 23, kSmallestNormal = (127U - 14U) << 23;
  constexpr std::uint32_t kRoundAt = (127U - 14U + 23U - 10U) << 23;  // a float whose last bit is f16's last subnormal
  const U b = bits_of(v), sign = (b >> 16) & 0x8000U, size = b & 0x7fffffffU;
  const U special = size > kInfinity ? U{} + 0x7e00U : U{} + 0x7c00U;
  const U round_at = U{} + kRoundAt;
  const U subnormal = bits_of(float_of(size) + float_of(round_at)) - kRoundAt;
  const U normal = (size - ((127U - 15U) << 23) + 0xfffU + ((size >> 13) & 1U)) >> 13;
  const U finite = size < kSmallestNormal ? subnormal : normal;
  store_bits(p, (size >= kTooLarge ? special : finite) | sign);
}

}  // namespace
}  // namespace shardscope::SS_ISA
