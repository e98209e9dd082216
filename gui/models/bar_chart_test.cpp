#include "gui/models/bar_chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace shardscope::gui {
namespace {

using testing::ElementsAre;

TEST(Format, TimesHaveAUnitAndThreeDigits) {
  EXPECT_EQ(format_seconds(0), "0 s");
  EXPECT_EQ(format_seconds(1.2345), "1.23 s");
  EXPECT_EQ(format_seconds(0.0124), "12.4 ms");
  EXPECT_EQ(format_seconds(0.25), "250 ms");
  EXPECT_EQ(format_seconds(480e-6), "480 us");
  EXPECT_EQ(format_seconds(3e-9), "3 ns");
  EXPECT_EQ(format_seconds(0.9999), "1 s");  // not "1000 ms"
  EXPECT_EQ(format_seconds(125), "125 s");
  EXPECT_EQ(format_seconds(std::numeric_limits<double>::quiet_NaN()), "unknown");
}

TEST(Format, BytesAreInPowersOfTwo) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(512), "512 B");
  EXPECT_EQ(format_bytes(1024), "1 KiB");
  EXPECT_EQ(format_bytes(312.5 * 1048576), "312 MiB");
  EXPECT_EQ(format_bytes(1.25 * 1073741824), "1.25 GiB");
}

TEST(AxisTicks, AreRoundAndReachTheLongestBar) {
  EXPECT_THAT(axis_ticks(0.93, BarUnit::kSeconds, 5), ElementsAre(0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0));
  EXPECT_THAT(axis_ticks(100 * 1048576.0, BarUnit::kBytes, 2), ElementsAre(0, 50 * 1048576.0, 100 * 1048576.0));
  EXPECT_THAT(axis_ticks(0, BarUnit::kBytes, 5), ElementsAre(0));
  EXPECT_THAT(axis_ticks(std::numeric_limits<double>::infinity(), BarUnit::kSeconds, 5), ElementsAre(0));
}

TEST(AxisTicks, NeverMoreStepsThanWantedPlusOne) {
  for (double longest = 1e-9; longest < 1e15; longest *= 1.7) {
    for (BarUnit unit : {BarUnit::kSeconds, BarUnit::kBytes}) {
      const std::vector<double> ticks = axis_ticks(longest, unit, 5);
      EXPECT_LE(ticks.size(), 6U) << longest;
      EXPECT_GE(ticks.back(), longest * (1 - 1e-9)) << longest;
    }
  }
}

TEST(Colours, TextOnEveryHueIsReadable) {
  for (Rgb hue : {kOrange, kSky, kGreen, kYellow, kBlue, kVermilion, kPurple, kGrey, kBrown}) {
    EXPECT_GE(contrast_ratio(hue, text_colour_on(hue)), 4.5) << int{hue.r} << ' ' << int{hue.g} << ' ' << int{hue.b};
  }
}

TEST(BarChart, KnowsItsLongestBar) {
  const BarChart chart{.bars = {{.values = {1, 2}}, {.values = {4}}, {}}};
  EXPECT_EQ(chart.longest(), 4);
  EXPECT_EQ(chart.bars[0].total(), 3);
}

}  // namespace
}  // namespace shardscope::gui
