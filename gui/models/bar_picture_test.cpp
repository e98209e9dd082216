#include "gui/models/bar_picture.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "gui/models/charts.h"
#include "gui/models/sample_runs.h"

namespace shardscope::gui {
namespace {

double measure(std::string_view text, bool) { return 7.0 * static_cast<double>(text.size()); }

TEST(BarPicture, PartsHaveLengthsInProportionAndPredictionsAreHatched) {
  const auto runs = sample_runs();
  const Picture picture = draw_bars({memory_chart(runs)}, false, 900, 300, measure);
  std::vector<const PictureShape*> parameter;
  for (const PictureShape& s : picture.shapes) {
    if (s.kind == PictureShape::Kind::kFill && s.height > 13 && s.colour == memory_chart(runs).series[0].colour)
      parameter.push_back(&s);
  }
  ASSERT_EQ(parameter.size(), 3U);
  EXPECT_EQ(parameter[0]->texture, Texture::kPlain);
  EXPECT_EQ(parameter[1]->texture, Texture::kHatch);
  for (const PictureShape& s : picture.shapes) EXPECT_LE(s.x + s.width, 900);
}

TEST(BarPicture, SaysWhyThereIsNothing) {
  const Picture picture = draw_bars({step_chart({}), memory_chart({})}, true, 900, 300, measure);
  EXPECT_NE(std::find(picture.texts.begin(), picture.texts.end(), step_chart({}).title), picture.texts.end());
  EXPECT_GE(picture.texts.size(), 4U);
}

}  // namespace
}  // namespace shardscope::gui
