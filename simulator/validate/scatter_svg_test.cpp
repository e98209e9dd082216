#include "simulator/validate/scatter_svg.h"

#include <gmock/gmock.h>

namespace shardscope {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ValidatedRow row(const char* id, const char* source, double published, double predicted) {
  ValidatedRow out{.run = {.id = id, .source = source, .quality = 'A'}};
  out.setup.workload.seq = 1;
  out.published_step_time_s = published;
  out.estimate.step_time_s = predicted;
  return out;
}

TEST(ScatterSvg, AMarkForEachRowAtItsPlace) {
  const std::string svg = scatter_svg({row("a-1", "a", 1, 10), row("b<1>", "b", 100, 100)}, "AB");
  // Two decades over 600 units from (80, 50): 1 s lies at x 80, 10 s at y 350, 100 s at (680, 50).
  EXPECT_THAT(svg, HasSubstr("<circle cx=\"80.0\" cy=\"350.0\""));
  EXPECT_THAT(svg, HasSubstr("<circle cx=\"680.0\" cy=\"50.0\""));
  EXPECT_THAT(svg, HasSubstr("b&lt;1&gt;: 100 s published"));
  EXPECT_THAT(svg, HasSubstr("a: 1 runs, mean 900.0 %"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(ScatterSvg, NothingToShowIsStillAPicture) { EXPECT_THAT(scatter_svg({}, "AB"), HasSubstr("0 published runs")); }

}  // namespace
}  // namespace shardscope
