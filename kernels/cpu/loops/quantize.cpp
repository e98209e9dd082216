#include "kernels/cpu/loops/loops.h"
#include "kernels/cpu/loops/simd.h"

namespace shardscope::SS_ISA {
namespace {

float largest(const float* x, std::int64_t n) {
  F best = splat(0);
  for_each_vector(n, [&](auto c) {
    const F v = load(x, c);
    best = max(max(v, -v), best);  // a NaN is not larger than anything
  });
  return max_lane(best);
}

/// Nearest even, by adding a number so large that fp32 has no room for the fraction; held at +-top. NaN becomes 0.
SS_INLINE std::int32_t rounded(float v, float top) {
  v = v > top ? top : v;
  v = v >= -top ? v : (v < -top ? -top : 0.0f);
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23
  return static_cast<std::int32_t>((v + kShift) - kShift);
}

void to_8(const float* x, float inverse_scale, std::int8_t* q, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) q[i] = static_cast<std::int8_t>(rounded(x[i] * inverse_scale, 127));
}

void to_4(const float* x, float inverse_scale, std::int8_t* q, std::int64_t n) {
  for (std::int64_t i = 0; i < n / 2; ++i) {
    const std::int32_t low = rounded(x[2 * i] * inverse_scale, 7), high = rounded(x[2 * i + 1] * inverse_scale, 7);
    q[i] = static_cast<std::int8_t>((low & 15) | ((high & 15) << 4));
  }
}

void from_8(const std::int8_t* q, float scale, float* out, std::int64_t n, bool add) {
  if (add) {
    for (std::int64_t i = 0; i < n; ++i) out[i] += static_cast<float>(q[i]) * scale;
  } else {
    for (std::int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(q[i]) * scale;
  }
}

/// The low four bits as a signed number.
SS_INLINE float nibble(std::int32_t v) { return static_cast<float>(((v & 15) ^ 8) - 8); }

void from_4(const std::int8_t* q, float scale, float* out, std::int64_t n, bool add) {
  for (std::int64_t i = 0; i < n / 2; ++i) {
    const float low = nibble(q[i]) * scale, high = nibble(q[i] >> 4) * scale;
    out[2 * i] = add ? out[2 * i] + low : low;
    out[2 * i + 1] = add ? out[2 * i + 1] + high : high;
  }
}

/// As bits, in which NaN is more than infinity.
float peak(const float* x, std::int64_t n) {
  U best{};
  for_each_vector(n, [&](auto c) {
    const U v = bits_of(load(x, c)) & 0x7fffffffU;
    best = v > best ? v : best;
  });
  std::uint32_t most = 0;
  for (int i = 0; i < kWidth; ++i) most = best[i] > most ? best[i] : most;
  float out;
  __builtin_memcpy(&out, &most, sizeof out);
  return out;
}

/// By adding, and taking away again, 1.5 times a power of two beside which fp32 has room for as many bits as the format
/// has for this number: its mantissa, fewer below the smallest normal number.
void through_fp8(float* x, const Fp8Format& format, float up, float down, std::int64_t n) {
  const U lowest = U{} + (static_cast<std::uint32_t>(127 + format.lowest_exponent) << 23);
  const std::uint32_t half = 1U << 22, room = static_cast<std::uint32_t>(23 - format.mantissa) << 23;
  for_each_vector(n, [&](auto c) {
    const F v = load(x, c) * up;
    const U exponent = bits_of(v) & 0x7f800000U, at = exponent > lowest ? exponent : lowest;
    const F shift = float_of((at + room) | half);
    store(x, c, ((v + shift) - shift) * down);
  });
}

}  // namespace

extern const QuantizeLoops quantize_loops;
const QuantizeLoops quantize_loops = {largest, to_8, to_4, from_8, from_4, peak, through_fp8};

}  // namespace shardscope::SS_ISA
