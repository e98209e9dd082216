// Between fp32 and the 16-bit formats, by integer arithmetic on the bits: plain loops that compilers vectorise on any
// instruction set.
#include "kernels/cpu/loops/loops.h"
#include "kernels/cpu/loops/simd.h"

namespace shardscope::SS_ISA {
namespace {

SS_INLINE std::uint32_t bits(float v) {
  std::uint32_t b;
  __builtin_memcpy(&b, &v, sizeof b);
  return b;
}
SS_INLINE float real(std::uint32_t b) {
  float v;
  __builtin_memcpy(&v, &b, sizeof v);
  return v;
}

void f32_to_bf16(const float* __restrict src, std::uint16_t* __restrict dst, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint32_t b = bits(src[i]);
    const std::uint32_t rounded = (b + 0x7fffu + ((b >> 16) & 1u)) >> 16;
    const std::uint32_t quiet = (b >> 16) | 0x40u;
    dst[i] = static_cast<std::uint16_t>((b & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
  }
}

void bf16_to_f32(const std::uint16_t* __restrict src, float* __restrict dst, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) dst[i] = real(static_cast<std::uint32_t>(src[i]) << 16);
}

/// Three cases, all computed: too large or NaN; subnormal (an addition in fp32 rounds at the right bit); the rest.
void f32_to_f16(const float* __restrict src, std::uint16_t* __restrict dst, std::int64_t n) {
  constexpr std::uint32_t kInfinity = 0x7f800000u, kTooLarge = (127 + 16) << 23, kSmallestNormal = (127 - 14) << 23;
  constexpr std::uint32_t kRoundAt = (127 - 14 + 23 - 10) << 23;  // a float whose last bit is f16's last subnormal bit
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint32_t b = bits(src[i]), sign = (b >> 16) & 0x8000u, size = b & 0x7fffffffu;
    const std::uint32_t special = size > kInfinity ? 0x7e00u : 0x7c00u;
    const std::uint32_t subnormal = bits(real(size) + real(kRoundAt)) - kRoundAt;
    const std::uint32_t normal = (size - ((127 - 15) << 23) + 0xfffu + ((size >> 13) & 1u)) >> 13;
    const std::uint32_t finite = size < kSmallestNormal ? subnormal : normal;
    dst[i] = static_cast<std::uint16_t>((size >= kTooLarge ? special : finite) | sign);
  }
}

void f16_to_f32(const std::uint16_t* __restrict src, float* __restrict dst, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint32_t h = src[i], sign = (h & 0x8000u) << 16, size = (h & 0x7fffu) << 13;
    const std::uint32_t normal = size + ((127 - 15) << 23);
    const std::uint32_t special = size + ((255 - 31) << 23);
    const std::uint32_t subnormal = bits(real(size + ((127 - 14) << 23)) - real((127 - 14) << 23));
    const std::uint32_t finite = size < (1u << 23) ? subnormal : normal;
    dst[i] = real((size >= (31u << 23) ? special : finite) | sign);
  }
}

}  // namespace

extern const ConvertLoops convert_loops;
const ConvertLoops convert_loops = {f32_to_bf16, bf16_to_f32, f32_to_f16, f16_to_f32};

}  // namespace shardscope::SS_ISA
