#include "tests/cudasim/core/numbers.h"

#include <gtest/gtest.h>

#include <random>

namespace cudasim {
namespace {

TEST(Numbers, EveryFloat8GoesThereAndBack) {
  for (const Float8 format : {Float8::kE4M3, Float8::kE5M2}) {
    for (int bits = 0; bits < 256; ++bits) {
      const float value = from_f8(static_cast<u8>(bits), format);
      if (value != value || std::isinf(value)) continue;
      EXPECT_EQ(to_f8(value, format), bits) << value;
    }
  }
}

TEST(Numbers, EveryFloat16GoesThereAndBackAndHalfWayTiesToEven) {
  for (u32 bits = 0; bits < 0x10000; ++bits) {
    const u16 narrow = static_cast<u16>(bits);
    const float value = from_f16(narrow);
    if (value != value) {
      EXPECT_GT(bits & 0x7fff, 0x7c00u);
      continue;
    }
    EXPECT_EQ(to_f16(value), narrow);
    if ((bits & 0x7fff) >= 0x7bff) continue;
    const float next = from_f16(static_cast<u16>(bits + 1)),
                middle = static_cast<float>((static_cast<double>(value) + next) / 2);
    EXPECT_EQ(to_f16(middle), bits % 2 == 0 ? narrow : narrow + 1) << value;
  }
  EXPECT_EQ(from_f16(0x3c00), 1.f);
  EXPECT_EQ(from_f16(0x0001), 0x1p-24f);
  EXPECT_EQ(from_f16(0xfbff), -65504.f);
  EXPECT_EQ(to_f16(65520.f), 0x7c00);
  EXPECT_EQ(to_f16(std::nextafter(65520.f, 0.f)), 0x7bff);
}

TEST(Numbers, Float8IsTheNearest) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-460, 460);
  for (int i = 0; i < 2000; ++i) {
    const float value = uniform(random) * std::exp2(-static_cast<float>(i % 16));
    const float got = from_f8(to_f8(value, Float8::kE4M3), Float8::kE4M3);
    for (int bits = 0; bits < 256; ++bits) {
      const float other = from_f8(static_cast<u8>(bits), Float8::kE4M3);
      if (other != other) continue;
      EXPECT_LE(std::fabs(got - value), std::fabs(other - value)) << value;
    }
  }
}

/// Of float16 all products and sums fit a long double, so that one rounding of that is the reference.
TEST(Numbers, OneRoundingOfAFusedMultiplyAdd) {
  std::mt19937 random(2);
  for (int i = 0; i < 20000; ++i) {
    const float a = from_f16(static_cast<u16>(random() & 0x7bff)),
                b = from_f16(static_cast<u16>((random() & 0x83ff) | 0x3c00));
    const float c = from_f16(static_cast<u16>(random() & 0xfbff));
    const long double exact = static_cast<long double>(a) * b + c;
    const u16 got = to_f16(narrow_fma(a, b, c));
    if (std::isinf(from_f16(got))) continue;
    const long double off = std::fabs(static_cast<long double>(from_f16(got)) - exact);
    for (const int step : {-1, 1}) {
      const u16 neighbour = static_cast<u16>(got + step);
      if ((neighbour & 0x8000) != (got & 0x8000) || (neighbour & 0x7fff) > 0x7bff) continue;
      const long double other = std::fabs(static_cast<long double>(from_f16(neighbour)) - exact);
      EXPECT_TRUE(off < other || (off == other && (got & 1) == 0)) << a << " " << b << " " << c;
    }
  }
}

TEST(Numbers, Bfloat16TiesToEven) {
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3f808000u)), 0x3f80);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_EQ(to_bf16(NAN), 0x7fff);
  EXPECT_EQ(to_tf32(std::bit_cast<float>(0x3f801000u)), std::bit_cast<float>(0x3f802000u));  // away from zero
}

}  // namespace
}  // namespace cudasim
