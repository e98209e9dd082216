// The Plan view, of made numbers: no calibration moves it.

#include "gui/models/plan_fixture_for_test.h"
#include "gui/models/plan_picture.h"
#include "gui/paint/golden_for_test.h"

namespace shardscope::gui {
namespace {

TEST(PlanGolden, CostAgainstDays) {
  testing::expect_golden("plan", [](bool dark) {
    PlanState state;
    state.inputs.deadline_days = 60, state.inputs.budget_usd = 420e3;
    state.dark = dark;
    PlanResult result = testing::made_result();
    for (PlanDot& d : result.dots) d.meets = d.point.run.days <= 60 && d.point.run.cost_usd <= 420e3;
    state.chosen = key_of(result.request, result.dots[2].point);
    state.pinned = {key_of(result.request, result.dots[4].point)};
    return draw_plan(result, testing::made_relief(), state, 1200, 560, text_width());
  });
}

TEST(PlanGolden, NothingFits) {
  testing::expect_golden("plan-nothing-fits", [](bool dark) {
    PlanState state;
    state.dark = dark;
    PlanResult result = testing::made_result();
    std::erase_if(result.dots, [](const PlanDot& d) { return d.fits; });
    result.recommended.reset();
    result.problem =
        "llama-3-405b fits on none of the GPUs, up to 256 of them; nearest is 256 x h100-sxm with dp 32 tp 8 pp 1, "
        "ZeRO 3, "
        "offload none, recompute full: 92.0 GB of 80.0; try more max gpus, larger GPUs, or a framework with offload";
    return draw_plan(result, testing::made_relief(), state, 700, 760, text_width());
  });
}

}  // namespace
}  // namespace shardscope::gui
