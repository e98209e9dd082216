#include "tests/cudasim/core/numbers.h"

#include <algorithm>

namespace cudasim {

namespace {

struct Layout {
  int exponent_bits, fraction_bits, bias;
  u8 largest, nan;
};
constexpr Layout layout(Float8 format) {
  return format == Float8::kE4M3 ? Layout{4, 3, 7, 0x7e, 0x7f} : Layout{5, 2, 15, 0x7b, 0x7f};
}

}  // namespace

float from_f8(u8 bits, Float8 format) {
  const Layout f = layout(format);
  const int exponent = (bits & 0x7f) >> f.fraction_bits;
  const int fraction = bits & ((1 << f.fraction_bits) - 1);
  const float sign = (bits & 0x80) != 0 ? -1.f : 1.f;
  if (format == Float8::kE4M3 && (bits & 0x7f) == 0x7f) return std::numeric_limits<float>::quiet_NaN();
  if (format == Float8::kE5M2 && exponent == 31) {
    return fraction != 0 ? std::numeric_limits<float>::quiet_NaN() : sign * std::numeric_limits<float>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), 1 - f.bias - f.fraction_bits);
  return sign * std::ldexp(static_cast<float>(fraction + (1 << f.fraction_bits)), exponent - f.bias - f.fraction_bits);
}

u8 to_f8(float value, Float8 format) {
  const Layout f = layout(format);
  const u8 sign = std::signbit(value) ? 0x80 : 0;
  if (value != value) return f.nan;
  const float magnitude = std::fabs(value);
  if (magnitude >= from_f8(f.largest, format)) return sign | f.largest;
  // The step between neighbours at this size; rounding to it may carry into the next exponent, which is right, too.
  const int exponent = std::max(magnitude == 0 ? 1 - f.bias : std::ilogb(magnitude), 1 - f.bias);
  const int steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, f.fraction_bits - exponent)));
  const int bits = ((exponent + f.bias - 1) << f.fraction_bits) + steps;
  return sign | static_cast<u8>(std::min<int>(bits, f.largest));
}

}  // namespace cudasim
