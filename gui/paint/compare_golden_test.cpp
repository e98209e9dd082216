// The pictures of two runs, of a profile made here: compare (far and near), stages, waterfall, scatter.

#include "gui/models/compare_load.h"
#include "gui/models/compare_picture.h"
#include "gui/models/stages.h"
#include "gui/models/two_runs_for_test.h"
#include "gui/paint/golden_for_test.h"

namespace shardscope::gui {
namespace {

class CompareGolden : public ::testing::Test {
 protected:
  CompareGolden() {
    testing::record_two_runs(folder_.file("run.db"));
    profile_ = std::make_unique<Profile>(folder_.file("run.db"));
    runs_ = list_runs(*profile_);
  }
  RunIn run(std::size_t i) const { return {*profile_, runs_[i]}; }
  CompareScene scene(std::size_t b, const CompareState& state) const {
    const Timeline in_a(*profile_, runs_[0].id), in_b(*profile_, runs_[b].id);
    CompareScene scene;
    scene.state = state;
    scene.facts = std::make_shared<PairFacts>(load_pair(run(0), run(b), in_a, in_b, state));
    for (int pixels : {1, 0}) {
      if (pixels == 0) pixels = static_cast<int>(frame_of(scene, 1100, 620, text_width(), CompareParts::kAll).width);
      scene.lanes = std::make_shared<PairLanes>(load_lanes(in_a, in_b, *scene.facts, state.window, pixels));
    }
    scene.histogram = std::make_shared<DurationHistogram>(load_histogram(run(0), run(b), *scene.facts, state));
    return scene;
  }
  shardscope::testing::TempFolder folder_;
  std::unique_ptr<Profile> profile_;
  std::vector<RunRow> runs_;
};

TEST_F(CompareGolden, TwoRuns) {
  testing::expect_golden("compare", [&](bool dark) {
    CompareState state;
    state.cursor_ns = 1'300'000;
    CompareScene s = scene(2, state);
    s.state.dark = dark;
    return draw_compare(s, 1100, 620, text_width(), CompareParts::kAll);
  });
}

TEST_F(CompareGolden, AStepOfARunAndItsPrediction) {
  testing::expect_golden("compare-near", [&](bool dark) {
    CompareState state;
    state.window = {1'000'000, 2'200'000};
    CompareScene s = scene(1, state);
    s.state.dark = dark;
    return draw_compare(s, 1100, 620, text_width(), CompareParts::kAll);
  });
}

TEST_F(CompareGolden, NothingToCompare) {
  testing::expect_golden("compare-empty", [&](bool dark) {
    CompareScene s;
    s.problem = "There is one run only: open another profile beside this one.";
    s.state.dark = dark;
    return draw_compare(s, 700, 260, text_width(), CompareParts::kLanes);
  });
}

TEST_F(CompareGolden, Stages) {
  StagesData data = load_stages({run(0), run(1), run(2)}, 0, stage_lane_pixels(1100));
  StagePanel refused;
  refused.name = "ZeRO-3 + offload";
  refused.problem = "offload_optimizer: needs at least ZeRO 1";
  data.panels.push_back(refused);
  testing::expect_golden("stages", [&](bool dark) { return draw_stages(data, dark, 1100, 520, text_width()); });
}

TEST_F(CompareGolden, Waterfall) {
  const gui::Waterfall why = load_waterfall(run(0), run(1), {.step = 1});
  testing::expect_golden("waterfall", [&](bool dark) { return draw_waterfall(why, dark, 900, 420, text_width()); });
}

TEST_F(CompareGolden, Scatter) {
  const ScatterData data = load_scatter(run(0), run(1));
  testing::expect_golden("scatter", [&](bool dark) {
    return draw_scatter(data, {.op = "adam adam (optimizer)", .dark = dark}, 760, 460, text_width());
  });
}

}  // namespace
}  // namespace shardscope::gui
