// Programs that are right, against double precision; tolerances follow from float arithmetic, not from the emulation.

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/cudasim/device_memory.h"
#include "tests/cudasim/programs/programs.h"

namespace cudasim_test {
namespace {

/// Largest difference over largest reference.
template <class A>
double error_of(const std::vector<A>& got, const std::vector<double>& wanted) {
  double most = 0, largest = 1e-30;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const double is = static_cast<double>(got.at(i));
    if (!std::isfinite(is)) return INFINITY;
    most = std::max(most, std::fabs(is - wanted[i]));
    largest = std::max(largest, std::fabs(wanted[i]));
  }
  return most / largest;
}

class Programs : public testing::Test {
  void SetUp() override {
    if (!emulated()) GTEST_SKIP() << "not on the emulated device";
    forget();
  }
  void TearDown() override {
    if (emulated()) {
      EXPECT_EQ(reports(), "");
    }
  }
};

TEST_F(Programs, LayerNorm) {
  const int rows = 5, columns = 100;  // no multiple of a warp
  const auto x = random_floats(rows * columns, 1), gain = random_floats(columns, 2), bias = random_floats(columns, 3);
  DeviceArray<float> dx(x), dgain(gain), dbias(bias), dy(x.size());
  programs::layer_norm(dy.data(), dx.data(), dgain.data(), dbias.data(), rows, columns, nullptr);
  std::vector<double> wanted;
  for (size_t r = 0; r < rows; ++r) {
    const float* row = &x[r * columns];
    const double mean = std::accumulate(row, row + columns, 0.0) / columns;
    double squares = 0;
    for (int i = 0; i < columns; ++i) squares += (row[i] - mean) * (row[i] - mean);
    for (size_t i = 0; i < columns; ++i) {
      wanted.push_back((row[i] - mean) / std::sqrt(squares / columns + 1e-5) * gain[i] + bias[i]);
    }
  }
  EXPECT_LT(error_of(dy.get(), wanted), 2e-6);
}

TEST_F(Programs, AdamOnPairsOfBfloat16) {
  const int n = 4096;
  const auto p = random_floats(n, 5), m = random_floats(n, 7, .01f);
  auto v = random_floats(n, 8, .01f), g = random_floats(n, 6, .1f);
  std::vector<__nv_bfloat16> narrow_g;
  for (float& x : v) x = x * x;
  for (float& x : g) narrow_g.push_back(__float2bfloat16(x));
  DeviceArray<float> dp(p), dm(m), dv(v);
  DeviceArray<__nv_bfloat16> dg(narrow_g), narrow(n);
  programs::adam(dp.data(), narrow.data(), dg.data(), dm.data(), dv.data(), n, 7, nullptr);
  std::vector<double> wanted;
  for (size_t i = 0; i < n; ++i) {
    const double gi = __bfloat162float(narrow_g[i]), mi = .9f * m[i] + (1 - .9f) * gi,
                 vi = .999f * v[i] + (1 - .999f) * gi * gi;
    const double c1 = 1 / (1 - std::pow(.9f, 7.)), c2 = 1 / (1 - std::pow(.999f, 7.));
    wanted.push_back(p[i] - 1e-3 * (mi * c1 / (std::sqrt(vi * c2) + 1e-8) + .1 * p[i]));
  }
  const auto got = dp.get();
  const auto got_narrow = narrow.get();
  EXPECT_LT(error_of(got, wanted), 1e-6);
  for (size_t i = 0; i < n; ++i)
    ASSERT_EQ(__bfloat162float(got_narrow[i]), __bfloat162float(__float2bfloat16(got[i]))) << i;
}

TEST_F(Programs, SoftmaxLoss) {
  const int rows = 7, columns = 333;
  const auto logits = random_floats(rows * columns, 9, 4);
  std::vector<int> targets;
  for (int r = 0; r < rows; ++r) targets.push_back(r * 79 % columns);
  DeviceArray<float> dl(logits), gradient(logits.size()), loss(rows);
  DeviceArray<int> dt(targets);
  programs::softmax_loss(loss.data(), gradient.data(), dl.data(), dt.data(), rows, columns, nullptr);
  std::vector<double> wanted_loss, wanted_gradient;
  for (size_t r = 0; r < rows; ++r) {
    const float* row = &logits[r * columns];
    double total = 0;
    for (int i = 0; i < columns; ++i) total += std::exp(static_cast<double>(row[i]));
    wanted_loss.push_back(std::log(total) - row[targets[r]]);
    for (int i = 0; i < columns; ++i)
      wanted_gradient.push_back(std::exp(static_cast<double>(row[i])) / total - (i == targets[r]));
  }
  EXPECT_LT(error_of(loss.get(), wanted_loss), 1e-6);
  EXPECT_LT(error_of(gradient.get(), wanted_gradient), 2e-6);
}

TEST_F(Programs, ABarrierOfTheWholeGrid) {
  const int n = 30003, blocks = 12;
  const auto x = random_floats(n, 11);
  DeviceArray<float> dx(x), out(1), partial(blocks);
  DeviceArray<unsigned> arrived(1);
  programs::cooperative_sum(out.data(), partial.data(), arrived.data(), dx.data(), n, blocks, nullptr);
  double absolute = 0;
  for (const float v : x) absolute += std::fabs(v);
  EXPECT_NEAR(out.get()[0], std::accumulate(x.begin(), x.end(), 0.0), 1e-6 * absolute);
}

TEST_F(Programs, TheLastBlockAddsUp) {
  const int n = 30003, blocks = 12;
  const auto x = random_floats(n, 12);
  DeviceArray<float> dx(x), out(1), partial(blocks);
  DeviceArray<unsigned> arrived(1);
  programs::last_block_sum(out.data(), partial.data(), arrived.data(), dx.data(), n, blocks, true);
  double absolute = 0;
  for (const float v : x) absolute += std::fabs(v);
  EXPECT_NEAR(out.get()[0], std::accumulate(x.begin(), x.end(), 0.0), 1e-6 * absolute);
}

TEST_F(Programs, TensorCores) {
  const int m = 32, n = 24, k = 48;
  std::vector<__nv_bfloat16> a, b;
  for (const float x : random_floats(m * k, 1)) a.push_back(__float2bfloat16(x));
  for (const float x : random_floats(n * k, 2)) b.push_back(__float2bfloat16(x));
  DeviceArray<__nv_bfloat16> da(a), db(b);
  DeviceArray<float> c(m * n);
  programs::tensor_gemm(c.data(), da.data(), db.data(), m, n, k, true);
  std::vector<double> wanted;
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) {
      double sum = 0;
      for (size_t q = 0; q < k; ++q)
        sum += static_cast<double>(__bfloat162float(a[i * k + q])) * __bfloat162float(b[j * k + q]);
      wanted.push_back(sum);
    }
  }
  EXPECT_LT(error_of(c.get(), wanted), 1e-6);
}

TEST_F(Programs, ForeignCode) {
  std::vector<float> x(256);
  std::vector<int> ints(256);
  std::vector<unsigned> keys(512);
  std::mt19937 random(3);
  for (float& v : x) v = static_cast<float>(random() % 1000) / 100;
  for (int& v : ints) v = static_cast<int>(random() % 100);
  for (unsigned& v : keys) v = random();
  DeviceArray<float> dx(x), sums(std::vector<float>(2, 0.f));
  DeviceArray<int> di(ints), scanned(256);
  DeviceArray<unsigned> dk(keys);
  programs::cub_sum(sums.data(), dx.data());
  programs::group_sum(sums.data() + 1, dx.data());
  programs::cub_scan(scanned.data(), di.data());
  programs::cub_sort(dk.data());
  const double sum = std::accumulate(x.begin(), x.end(), 0.0);
  EXPECT_NEAR(sums.get()[0], sum, 1e-6 * sum);
  EXPECT_NEAR(sums.get()[1], sum, 1e-6 * sum);
  std::vector<int> wanted(256);
  std::exclusive_scan(ints.begin(), ints.end(), wanted.begin(), 0);
  EXPECT_EQ(scanned.get(), wanted);
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(dk.get(), keys);
}

/// CUDA's own code for these, which nvcc inlines: the Programming Guide's table of errors says at most 4 ulp for all of
/// them, and 2 ulp + more for __expf.
TEST_F(Programs, MathematicalFunctions) {
  std::vector<float> x(256);
  std::mt19937 random(3);
  for (float& v : x) v = .05f + static_cast<float>(random() % 10000) / 4000.f;
  DeviceArray<float> dx(x), out(programs::kMathFunctions * 256);
  programs::math(out.data(), dx.data());
  const auto got = out.get();
  for (size_t i = 0; i < 256; ++i) {
    const double v = x[i];
    const double wanted[programs::kMathFunctions] = {std::tanh(v),
                                                     std::erf(v),
                                                     std::exp(v),
                                                     std::log(v),
                                                     std::sin(v),
                                                     std::pow(v, 1.5),
                                                     std::log1p(v),
                                                     1 / std::sqrt(v),
                                                     std::fmod(v, static_cast<double>(.3f)),
                                                     std::cbrt(v),
                                                     std::cos(static_cast<double>(x[i] * 1e5f)),
                                                     std::trunc(x[i] * 7),
                                                     std::exp(v),
                                                     static_cast<double>(x[i]) / static_cast<double>(3.7f),
                                                     std::exp(v),
                                                     static_cast<double>(std::lrint(x[i] * 100))};
    for (size_t k = 0; k < programs::kMathFunctions; ++k) {
      const float near = static_cast<float>(wanted[k]);
      const double ulp = std::fabs(std::nextafter(near, INFINITY) - near);
      EXPECT_LE(std::fabs(got[k * 256 + i] - wanted[k]), (k == 12 ? 8 : 4) * ulp) << "function " << k << " of " << x[i];
    }
  }
}

TEST_F(Programs, NarrowFormats) {
  std::vector<float> x = random_floats(1000, 4, 30);
  for (const float special : {0.f, -0.f, 448.f, 500.f, 1e-3f, 65504.f, 1e-8f, 0.0625f}) x.push_back(special);
  const int n = static_cast<int>(x.size());
  DeviceArray<float> dx(x), out(3 * x.size());
  programs::narrow(out.data(), dx.data(), n);
  const auto got = out.get();
  for (size_t i = 0; i < x.size(); ++i) {  // half a unit in the last place of 3, 10 and 7 bits of fraction
    const double size = std::max(std::fabs(x[i]), 0.015625f);
    if (std::fabs(x[i]) <= 448) {
      EXPECT_LE(std::fabs(got[i] - x[i]), size / 16) << x[i];
    }
    EXPECT_LE(std::fabs(got[x.size() + i] - x[i]), std::max<double>(std::fabs(x[i]), 6.2e-5) / 2048) << x[i];
    EXPECT_LE(std::fabs(got[2 * x.size() + i] - x[i]), std::fabs(x[i]) / 256) << x[i];
  }
  EXPECT_EQ(got[1003], 448.f);  // 500 saturates
}

TEST_F(Programs, VariablesOfTheDevice) {
  const int before = programs::count_calls(0, nullptr);
  EXPECT_GE(before, 100);
  EXPECT_EQ(programs::count_calls(3, nullptr), before + 3 * 32);
}

}  // namespace
}  // namespace cudasim_test
