// The errors that vector_math.h states, over floats spread evenly over all exponents.
#define SS_ISA isa_test
#define SS_WIDTH 4
#include "kernels/cpu/loops/vector_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace shardscope::isa_test {
namespace {

/// f(x) for one float in 997 between low and high, both signs of zero's side included.
template <class Check>
void for_floats(float low, float high, Check&& check) {
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 997) {
    const auto pattern = static_cast<std::uint32_t>(bits);
    float x;
    std::memcpy(&x, &pattern, sizeof x);
    if (x >= low && x <= high) check(x);
  }
}

TEST(VectorMath, Exp) {
  double worst = 0;
  for_floats(-87.3F, 88.3F, [&](float x) {
    const double want = std::exp(static_cast<double>(x));
    worst = std::max(worst, std::abs(static_cast<double>(exp(splat(x))[0]) - want) / want);
  });
  EXPECT_LT(worst, 2e-7);
  EXPECT_EQ(exp(splat(-87.4F))[0], 0);
  EXPECT_EQ(exp(splat(-std::numeric_limits<float>::infinity()))[0], 0);
  EXPECT_EQ(exp(splat(1e30F))[0], std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(exp(splat(std::nanf("")))[0]));
}

TEST(VectorMath, Logistic) {
  double worst = 0;
  for_floats(-80, 80, [&](float x) {
    const double want = 1 / (1 + std::exp(-static_cast<double>(x)));
    worst = std::max(worst, std::abs(static_cast<double>(logistic(splat(x))[0]) - want) / want);
  });
  EXPECT_LT(worst, 4e-7);
  EXPECT_EQ(logistic(splat(-1e20F))[0], 0);
  EXPECT_EQ(logistic(splat(1e20F))[0], 1);
}

TEST(VectorMath, Normal) {
  double worst = 0, worst_relative = 0, worst_density = 0;
  for_floats(-13, 13, [&](float x) {
    const double want = std::erfc(-static_cast<double>(x) / std::sqrt(2.0)) / 2;
    const double error = std::abs(static_cast<double>(normal(splat(x)).value[0]) - want);
    const double density = std::exp(-0.5 * static_cast<double>(x) * static_cast<double>(x)) / std::sqrt(2 * M_PI);
    worst = std::max(worst, error);
    worst_relative = std::max(worst_relative, error / want);
    worst_density = std::max(worst_density, std::abs(static_cast<double>(normal(splat(x)).density[0]) - density));
  });
  EXPECT_LT(worst, 3e-7);
  EXPECT_LT(worst_relative, 1e-5);
  EXPECT_LT(worst_density, 1e-7);
}

}  // namespace
}  // namespace shardscope::isa_test
