#include "core/engine/hang_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace shardscope {
namespace {

using Doing = RankState::Doing;
using testing::HasSubstr;

RankState state(Doing doing, std::uint64_t progress, const std::string& where, double allowance_s = 0) {
  return {.doing = doing, .progress = progress, .allowance_s = allowance_s, .where = where};
}

/// Says every half second what all ranks do, from `from_s` to `to_s`; what was found first.
std::optional<RankFailure> watch_for(HangWatch& watch, const std::vector<RankState>& states, double from_s,
                                     double to_s) {
  for (double now_s = from_s; now_s <= to_s; now_s += 0.5) {
    for (std::size_t r = 0; r < states.size(); ++r) watch.update(static_cast<int>(r), states[r], now_s);
    if (auto found = watch.find(now_s)) return found;
  }
  return std::nullopt;
}

TEST(HangWatch, BlamesTheRankThatIsInAnOpAndNotThoseThatWaitForIt) {
  HangWatch watch(3, 10);
  const RankState waiting = state(Doing::kWaiting, 5, "in step 1: op 9");
  const std::vector<RankState> states{waiting, state(Doing::kBusy, 4, "in step 1: op 8"), waiting};
  EXPECT_FALSE(watch_for(watch, states, 0, 10));
  const auto found = watch_for(watch, states, 10.5, 11);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->rank, 1);
  EXPECT_STREQ(found->cause.what(), "hangs in step 1: op 8 for 10 s; ranks 0, 2 are in step 1: op 9");
}

TEST(HangWatch, WhoGetsOnDoesNotHang) {
  HangWatch watch(1, 1);
  for (std::uint64_t op = 0; op < 100; ++op) {
    watch.update(0, state(Doing::kBusy, op, "somewhere"), static_cast<double>(op) * 0.9);
    EXPECT_FALSE(watch.find(static_cast<double>(op) * 0.9));
  }
}

TEST(HangWatch, AnOpMayTakeWhatItsWorkAllows) {
  HangWatch watch(1, 1);
  EXPECT_FALSE(watch_for(watch, {state(Doing::kBusy, 1, "a large product", 60)}, 0, 60));
  EXPECT_TRUE(watch_for(watch, {state(Doing::kBusy, 1, "a large product", 60)}, 61, 63));
}

TEST(HangWatch, OutsideAStepNothingIsLate) {
  HangWatch watch(2, 1);
  EXPECT_FALSE(watch_for(watch, {state(Doing::kOther, 0, "writing a checkpoint"), state(Doing::kWaiting, 1, "in op 3")},
                         0, 1000));
}

TEST(HangWatch, ARankThatIsNotHeardOfIsNamedWithItsLastPlace) {
  HangWatch watch(2, 5);
  const RankState waiting = state(Doing::kWaiting, 5, "in step 1: op 9");
  EXPECT_FALSE(watch_for(watch, {waiting, state(Doing::kBusy, 3, "in step 1: op 2")}, 0, 1));
  const auto found = watch_for(watch, {waiting}, 1.5, 7);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->rank, 1);
  EXPECT_THAT(found->cause.what(), HasSubstr("has not answered for 6 s"));
  EXPECT_THAT(found->cause.what(), HasSubstr("it was last seen in step 1: op 2; rank 0 is in step 1: op 9"));
}

TEST(HangWatch, RanksThatAllWaitForEachOtherAreADeadlock) {
  HangWatch watch(2, 5);
  const std::vector<RankState> states{state(Doing::kWaiting, 1, "in op 3"), state(Doing::kWaiting, 2, "in op 4")};
  const auto found = watch_for(watch, states, 0, 6);
  ASSERT_TRUE(found);
  EXPECT_THAT(found->cause.what(),
              HasSubstr("all ranks have waited for each other for 6 s: rank 0 is in op 3; rank 1 is in op 4"));
}

TEST(HangWatch, WhoHasLeftIsNotMissed) {
  HangWatch watch(2, 1);
  const RankState waiting = state(Doing::kWaiting, 1, "in op 3");
  EXPECT_FALSE(watch_for(watch, {waiting, waiting}, 0, 0.5));
  watch.forget(1);
  EXPECT_FALSE(watch_for(watch, {waiting}, 1, 100));
}

TEST(HangWatch, ZeroIsNever) {
  HangWatch watch(1, 0);
  EXPECT_FALSE(watch_for(watch, {state(Doing::kBusy, 1, "in op 3")}, 0, 10000));
}

TEST(HangWatch, AMessageHasAnEndHoweverManyRanks) {
  HangWatch watch(100, 1);
  for (int r = 0; r < 100; ++r) watch.update(r, state(Doing::kWaiting, 1, "in op " + std::to_string(r)), 0);
  EXPECT_LT(watch.places(7).size(), 200U);
}

}  // namespace
}  // namespace shardscope
