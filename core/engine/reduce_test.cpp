#include "core/engine/reduce.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

namespace shardscope {
namespace {

/// By the definition of the format: a sign, an exponent, a mantissa of `bits`.
double value_of(std::uint16_t half, int bits, int bias) {
  const int exponent = (half & 0x7fff) >> bits, units = half & ((1 << bits) - 1), top = 0x7fff >> bits;
  const double sign = (half & 0x8000) != 0 ? -1 : 1;
  if (exponent == top) return units == 0 ? sign * INFINITY : NAN;
  const int hidden = exponent == 0 ? 0 : 1 << bits;
  return sign * std::ldexp(hidden + units, std::max(exponent, 1) - bias - bits);
}

TEST(Half, EveryNumberOfBothFormatsWidensExactlyAndComesBack) {
  for (int i = 0; i < 0x10000; ++i) {
    const auto half = static_cast<std::uint16_t>(i);
    const double bf16 = value_of(half, 7, 127), fp16 = value_of(half, 10, 15);
    if (std::isnan(bf16)) {
      EXPECT_TRUE(std::isnan(from_bf16(half)) && std::isnan(from_bf16(to_bf16(from_bf16(half)))));
    } else {
      ASSERT_EQ(static_cast<double>(from_bf16(half)), bf16) << i;
      ASSERT_EQ(to_bf16(from_bf16(half)), half);
    }
    if (std::isnan(fp16)) {
      EXPECT_TRUE(std::isnan(from_fp16(half)) && std::isnan(from_fp16(to_fp16(from_fp16(half)))));
    } else {
      ASSERT_EQ(static_cast<double>(from_fp16(half)), fp16) << i;
      ASSERT_EQ(to_fp16(from_fp16(half)), half);
    }
  }
}

TEST(Half, RoundsToTheNearestAndTiesToEven) {
  for (int i = 0; i < 0x7bff; ++i) {  // all finite fp16 but the last; bf16 has these bits too
    const auto half = static_cast<std::uint16_t>(i), next = static_cast<std::uint16_t>(i + 1);
    const std::uint16_t even = i % 2 == 0 ? half : next;
    const auto middle = [](float a, float b) { return static_cast<float>((static_cast<double>(a) + b) / 2); };
    ASSERT_EQ(to_fp16(middle(from_fp16(half), from_fp16(next))), even) << i;
    ASSERT_EQ(to_fp16(-middle(from_fp16(half), from_fp16(next))), even | 0x8000);
    ASSERT_EQ(to_bf16(middle(from_bf16(half), from_bf16(next))), even) << i;
    ASSERT_EQ(to_fp16(std::nextafter(middle(from_fp16(half), from_fp16(next)), 0.0F)), half) << i;
    ASSERT_EQ(to_bf16(std::nextafter(middle(from_bf16(half), from_bf16(next)), INFINITY)), next) << i;
  }
  EXPECT_EQ(from_fp16(to_fp16(65519.0F)), 65504.0F);
  EXPECT_TRUE(std::isinf(from_fp16(to_fp16(65520.0F))));
}

/// More than a block, so that the loop's blocks meet; each sum is rounded once.
TEST(Reduce, SumsSixteenBitNumbersInFp32AndRoundsOnce) {
  constexpr std::size_t kCount = 5001;
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    const auto narrow = dtype == DType::kBF16 ? to_bf16 : to_fp16;
    const auto widen = dtype == DType::kBF16 ? from_bf16 : from_fp16;
    std::vector<std::vector<std::uint16_t>> ranks(3, std::vector<std::uint16_t>(kCount));
    for (std::size_t r = 0; r < ranks.size(); ++r) {
      for (std::size_t i = 0; i < kCount; ++i)
        ranks[r][i] = narrow(1.0F + 0.37F * static_cast<float>((i * 7 + r) % 11));
    }
    std::vector<std::uint16_t> out(kCount);
    std::vector<const std::byte*> ins;
    for (const auto& rank : ranks) ins.push_back(reinterpret_cast<const std::byte*>(rank.data()));
    auto* const to = reinterpret_cast<std::byte*>(out.data());
    reduce_in_order(ins, std::span(&to, 1), kCount, dtype, ReduceOp::kSum);
    for (std::size_t i = 0; i < kCount; ++i) {
      ASSERT_EQ(out[i], narrow((widen(ranks[0][i]) + widen(ranks[1][i])) + widen(ranks[2][i]))) << i;
    }
    reduce_in_order(ins, std::span(&to, 1), kCount, dtype, ReduceOp::kMax);
    for (std::size_t i = 0; i < kCount; ++i) {
      ASSERT_EQ(widen(out[i]), std::max({widen(ranks[0][i]), widen(ranks[1][i]), widen(ranks[2][i])})) << i;
    }
  }
}

}  // namespace
}  // namespace shardscope
