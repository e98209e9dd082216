#include "gui/views/stacked_bars.h"

#include <gtest/gtest.h>

#include <QImage>
#include <set>

#include "gui/models/charts.h"
#include "gui/models/sample_runs.h"
#include "gui/views/theme.h"

namespace shardscope::gui {
namespace {

QImage painted(StackedBars& bars, int width) {
  bars.resize(width, bars.heightForWidth(width));
  return bars.grab().toImage().convertToFormat(QImage::Format_RGB32);
}

bool has_colour(const QImage& image, const QRectF& where, Rgb colour) {
  for (int y = static_cast<int>(where.top()) + 1; y < static_cast<int>(where.bottom()); ++y) {
    for (int x = static_cast<int>(where.left()) + 1; x < static_cast<int>(where.right()); ++x) {
      if (image.pixel(x, y) == qRgb(colour.r, colour.g, colour.b)) return true;
    }
  }
  return false;
}

int colours_in(const QImage& image, const QRect& where) {
  std::set<QRgb> colours;
  for (int y = where.top(); y <= where.bottom(); ++y) {
    for (int x = where.left(); x <= where.right(); ++x) colours.insert(image.pixel(x, y));
  }
  return static_cast<int>(colours.size());
}

TEST(StackedBars, PaintsEachSegmentInItsColourAndLength) {
  StackedBars bars;
  const BarChart chart = memory_chart(sample_runs());
  bars.set_chart(chart);
  const QImage image = painted(bars, 700);
  const QRectF parameters = bars.segment_rect(0, 0), activations = bars.segment_rect(0, 1);
  EXPECT_TRUE(has_colour(image, parameters, chart.series[0].colour));
  EXPECT_TRUE(has_colour(image, activations, chart.series[1].colour));
  EXPECT_FALSE(has_colour(image, parameters, chart.series[1].colour));
  EXPECT_NEAR(activations.width() / parameters.width(), 1.5, 0.02);  // 60 MiB to 40 MiB
  EXPECT_GE(activations.left(), parameters.right());
}

TEST(StackedBars, BarsLieInsideTheWidgetAtAnyWidth) {
  StackedBars bars;
  bars.set_chart(step_chart(sample_runs()));
  for (int width : {360, 500, 900, 2000}) {
    painted(bars, width);
    for (int bar = 0; bar < 3; ++bar) {
      const QRectF last = bars.segment_rect(bar, 3);
      EXPECT_GT(bars.segment_rect(bar, 0).left(), 0) << width;
      EXPECT_LT(last.right(), width) << width;
      EXPECT_LT(last.bottom(), bars.height()) << width;
    }
  }
}

TEST(StackedBars, APredictionIsHatched) {
  StackedBars bars;
  bars.set_chart(memory_chart(sample_runs()));
  const QImage image = painted(bars, 900);
  // A corner of the segment, away from its text: one colour measured, several predicted.
  const auto corner = [&](int bar) {
    return bars.segment_rect(bar, 1)
        .toRect()
        .adjusted(3, 2, -3, -2)
        .intersected(QRect(bars.segment_rect(bar, 1).toRect().topLeft() + QPoint(3, 2), QSize(16, 12)));
  };
  EXPECT_EQ(colours_in(image, corner(0)), 1);
  EXPECT_GT(colours_in(image, corner(1)), 1);
}

TEST(StackedBars, SaysWhatIsUnderThePointer) {
  StackedBars bars;
  bars.set_chart(memory_chart(sample_runs()));
  painted(bars, 700);
  EXPECT_EQ(bars.text_at(bars.segment_rect(0, 1).center()), "zero-2: activations 60 MiB of 100 MiB");
  EXPECT_EQ(bars.text_at(bars.segment_rect(1, 0).center()), "zero-2, predicted: parameters 40 MiB of 100 MiB");
  EXPECT_EQ(bars.text_at({1, 1}), "");
  EXPECT_TRUE(bars.accessibleDescription().contains("zero-3: 100 MiB"));
}

TEST(StackedBars, WithoutBarsSaysWhy) {
  StackedBars bars;
  bars.set_chart(step_chart({}));
  const QImage image = painted(bars, 500);
  EXPECT_GT(colours_in(image, image.rect()), 2);  // background, title and text
  EXPECT_TRUE(bars.segment_rect(0, 0).isEmpty());
  EXPECT_TRUE(bars.segment_rect(-1, 9).isEmpty());
}

TEST(StackedBars, FollowsDarkAndLight) {
  StackedBars bars;
  bars.set_chart(step_chart(sample_runs()));
  for (Theme theme : {Theme::kLight, Theme::kDark}) {
    const QPalette palette = make_palette(theme);
    bars.setPalette(palette);
    EXPECT_EQ(painted(bars, 600).pixelColor(1, 1), palette.color(QPalette::Base));
    EXPECT_EQ(theme_of(palette), theme);
    const QColor text = palette.color(QPalette::WindowText), back = palette.color(QPalette::Base);
    const auto rgb = [](const QColor& c) {
      return Rgb{static_cast<std::uint8_t>(c.red()), static_cast<std::uint8_t>(c.green()),
                 static_cast<std::uint8_t>(c.blue())};
    };
    EXPECT_GE(contrast_ratio(rgb(text), rgb(back)), 4.5);
    EXPECT_GE(contrast_ratio(rgb(palette.color(QPalette::HighlightedText)), rgb(palette.color(QPalette::Highlight))),
              4.5);
  }
}

}  // namespace
}  // namespace shardscope::gui
