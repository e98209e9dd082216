#include "core/engine/initialize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "core/engine/random.h"
#include "core/engine/reduce.h"
#include "core/error.h"

namespace shardscope {
namespace {

TEST(Random, NormalIsTheInverseOfTheDistributionFunction) {
  for (double p = 0.5e-12; p < 1; p += p < 1e-3 ? p * 0.1 : 1e-3) {
    const auto bits = static_cast<std::uint64_t>(p * 0x1p52) << 12;
    const double used = (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52;
    const double x = standard_normal(bits), back = 0.5 * std::erfc(-x / std::sqrt(2.0));
    EXPECT_NEAR(back / used, 1, 2e-7 * (1 + x * x)) << p;  // x good to 1e-7: d ln p = x dx
  }
  EXPECT_EQ(standard_normal(std::uint64_t{1} << 63), -standard_normal((std::uint64_t{1} << 63) - 1));
  EXPECT_LT(standard_normal(~std::uint64_t{0}), 8.3);
  EXPECT_GT(standard_normal(0), -8.3);
}

TEST(Random, MomentsOfAMillionNumbers) {
  double sum = 0, squares = 0, cubes = 0, fourth = 0, neighbours = 0, last = 0;
  const std::uint64_t key = random_key(1, "w");
  constexpr int kCount = 1000000;
  for (int i = 0; i < kCount; ++i) {
    const double x = standard_normal(random_bits(key, static_cast<std::uint64_t>(i)));
    sum += x, squares += x * x, cubes += x * x * x, fourth += x * x * x * x, neighbours += x * last;
    last = x;
  }
  EXPECT_NEAR(sum / kCount, 0, 5e-3);  // five standard errors or so each
  EXPECT_NEAR(squares / kCount, 1, 7e-3);
  EXPECT_NEAR(cubes / kCount, 0, 0.02);
  EXPECT_NEAR(fourth / kCount, 3, 0.05);
  EXPECT_NEAR(neighbours / kCount, 0, 5e-3);
}

TEST(Random, PermutationsHitEverythingOnce) {
  for (std::uint64_t size : {1U, 2U, 3U, 5U, 16U, 17U, 1000U, 4097U}) {
    std::set<std::uint64_t> seen;
    for (std::uint64_t i = 0; i < size; ++i) seen.insert(permute(i, size, 99));
    EXPECT_EQ(seen.size(), size);
    EXPECT_LT(*seen.rbegin(), size);
  }
  int same = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) same += permute(i, 1000, 1) == permute(i, 1000, 2);
  EXPECT_LT(same, 12);  // 1 expected of unrelated permutations
}

const Parameter kNormal{.name = "w", .shape = {10, 20}, .init_std = 0.02};

TEST(InitialValues, AnyShardIsACutOfTheWhole) {
  std::vector<float> whole(200), part(33);
  initial_values(kNormal, 5, 0, whole);
  initial_values(kNormal, 5, 77, part);
  EXPECT_EQ(part, std::vector<float>(whole.begin() + 77, whole.begin() + 110));
}

TEST(InitialValues, DependOnSeedAndNameAndPinTheirBits) {
  std::vector<float> a(200), b(200);
  initial_values(kNormal, 5, 0, a);
  initial_values(kNormal, 6, 0, b);
  EXPECT_NE(a, b);
  Parameter other = kNormal;
  other.name = "v";
  initial_values(other, 5, 0, b);
  EXPECT_NE(a, b);
  double squares = 0;
  for (float x : a) squares += static_cast<double>(x) * static_cast<double>(x);
  EXPECT_NEAR(std::sqrt(squares / 200), 0.02, 0.004);
}

TEST(InitialValues, ConstantsWhereThereIsNoSpread) {
  std::vector<float> out(7);
  initial_values({.name = "ln.weight", .shape = {7}, .init_value = 1}, 5, 0, out);
  EXPECT_THAT(out, testing::Each(1.0F));
}

/// One parameter of 200 elements: elements 50..149 live here, as bf16 weights, fp32 masters and moments.
struct Sharded {
  Program program;
  alignas(64) std::byte bytes[4096];
  Memory memory;
  Region weights = add("w", DType::kBF16), master = add("m", DType::kF32), mean = add("a", DType::kF32);

  Sharded() {
    std::fill(std::begin(bytes), std::end(bytes), std::byte{0xff});
    program.parameters = {kNormal};
    program.state = {{0, StateRole::kParameter, 50, weights},
                     {0, StateRole::kMaster, 50, master},
                     {0, StateRole::kExpAvg, 50, mean}};
    memory.program = &program;
    memory.bases[0] = bytes;
  }
  Region add(const char* name, DType dtype) {
    auto& end = program.arena_bytes[0];
    const BufferId id = program.add_buffer({.name = name, .dtype = dtype, .elements = 100, .address = end});
    end += program.buffer(id).bytes();
    return program.whole(id);
  }
};

TEST(InitializeState, FillsEveryPieceByItsRoleAndType) {
  Sharded s;
  initialize_state(s.program, s.memory, 5);
  std::vector<float> whole(200);
  initial_values(kNormal, 5, 0, whole);
  for (std::int64_t i = 0; i < 100; ++i) {
    const float x = whole[static_cast<std::size_t>(50 + i)];
    EXPECT_EQ(s.memory.as<float>(s.master)[i], x);
    EXPECT_EQ(s.memory.as<std::uint16_t>(s.weights)[i], to_bf16(x));
    EXPECT_EQ(s.memory.as<float>(s.mean)[i], 0);
  }
  EXPECT_EQ(s.bytes[s.program.arena_bytes[0]], std::byte{0xff});
}

TEST(InitializeState, RefusesIntegerParameters) {
  Sharded s;
  s.program.buffers[0].dtype = DType::kI8;
  EXPECT_THROW(initialize_state(s.program, s.memory, 5), Error);
}

}  // namespace
}  // namespace shardscope
