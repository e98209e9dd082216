// The closed form and the event level are two ways to the same step: the same costs of kernels and collectives, summed
// by formula or run on the virtual clock; the same buffers, summed at a few moments or walked through. Random jobs on
// catalog clusters must agree, whatever mix of what our engine runs they are.

#include "tests/two_levels_job.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

namespace shardscope {
namespace {

/// Who gets whose memory, and so waits for whom, is not in the formulas of time. Above the largest differences seen.
constexpr double kMostTime = 0.2, kMostMemory = 0.15;

struct Spread {
  double median = 0, p90 = 0, worst = 0;
};

/// Part of the errors that are not larger than `limit`.
double within(double limit, const std::vector<double>& errors) {
  const auto small = std::count_if(errors.begin(), errors.end(), [&](double e) { return std::abs(e) <= limit; });
  return static_cast<double>(small) / static_cast<double>(errors.size());
}

Spread spread_of(const char* what, std::vector<double> errors) {
  for (double& e : errors) e = std::abs(e);
  std::sort(errors.begin(), errors.end());
  const Spread s{errors[errors.size() / 2], errors[errors.size() * 9 / 10], errors.back()};
  std::printf("closed form against events, %s: median %.2f %%, p90 %.1f %%, largest %.1f %%\n", what, s.median * 100,
              s.p90 * 100, s.worst * 100);
  return s;
}

struct Compared {
  std::vector<double> time, memory;
};

/// One job, none of which may be far off.
void compare(const LevelsChoice& choice, Compared& errors) {
  const LevelsErrors e = errors_of(choice);
  errors.time.push_back(e.time), errors.memory.push_back(e.memory);
  EXPECT_LT(std::abs(e.time), kMostTime) << choice;
  EXPECT_LT(std::abs(e.memory), kMostMemory) << choice;
}

/// So many random jobs of which `wanted` holds.
template <class Wanted>
Compared compare(int count, const Wanted& wanted) {
  std::mt19937 random(20261126);
  Compared errors;
  while (static_cast<int>(errors.time.size()) < count) {
    const LevelsChoice choice = draw_levels(random);
    if (!wanted(choice)) continue;
    compare(choice, errors);
  }
  return errors;
}

bool is_plain(const LevelsChoice& c) {
  return c.model != LevelsModel::kMixtral && c.schedule == PipelineSchedule::k1F1B && c.offload == Offload::kNone &&
         c.shard == 0 && c.cp * c.ulysses == 1;
}

TEST(TwoLevels, TheClosedFormIsNearTheEventsOverRandomJobs) {
  const Compared plain = compare(150, is_plain), rest = compare(150, [](const LevelsChoice&c) { return !is_plain(c); });
  const Spread plain_time = spread_of("time, plain", plain.time),
               plain_bytes = spread_of("memory, plain", plain.memory);
  EXPECT_LT(plain_time.median, 0.006);
  EXPECT_LT(plain_time.p90, 0.025);
  EXPECT_GE(within(0.05, plain.time), 0.99);
  EXPECT_LT(plain_bytes.median, 0.0005);
  EXPECT_LT(plain_bytes.p90, 0.02);
  EXPECT_GE(within(0.05, plain.memory), 0.99);
  const Spread time = spread_of("time, the rest", rest.time), bytes = spread_of("memory, the rest", rest.memory);
  EXPECT_LT(time.median, 0.008);
  EXPECT_LT(time.p90, 0.045);
  EXPECT_GE(within(0.05, rest.time), 0.93);
  EXPECT_LT(bytes.median, 0.001);
  EXPECT_GE(within(0.05, rest.memory), 0.97);
}

/// Second copies, int8 and int4, beside whatever else.
TEST(TwoLevels, TheClosedFormIsNearTheEventsWithZeroPlusPlus) {
  std::mt19937 random(20261126);
  Compared errors;
  for (int i = 0; i < 100; ++i) {
    compare(draw_zero_plus_plus(random), errors);
  }
  const Spread time = spread_of("time, ZeRO++", errors.time), bytes = spread_of("memory, ZeRO++", errors.memory);
  EXPECT_LT(time.median, 0.01);
  EXPECT_LT(time.p90, 0.045);
  EXPECT_GE(within(0.05, errors.time), 0.92);
  EXPECT_LT(bytes.median, 0.002);
  EXPECT_GE(within(0.05, errors.memory), 0.96);
}

/// Longer than what is walked: by formula, in which every chunk sends its message.
TEST(TwoLevels, LongInterleavedPipelinesTakeTheTimeOfAllTheirMessages) {
  for (const auto& [tp, pp, vpp, rounds] :
       {std::array{8, 12, 3, 4}, std::array{2, 16, 4, 1}, std::array{1, 16, 2, 2}}) {
    LevelsChoice c;
    c.layers = 2 * pp * vpp, c.hidden = 8192, c.seq = 2048;
    c.tp = tp, c.pp = pp, c.vpp = vpp, c.schedule = PipelineSchedule::kInterleaved, c.accumulation = rounds * pp;
    const LevelsErrors e = errors_of(c);
    EXPECT_LT(std::abs(e.time), 0.05) << c;
    EXPECT_LT(std::abs(e.memory), 0.05) << c;
  }
}

}  // namespace
}  // namespace shardscope
