// Two runs beside each other: lanes on a common axis, deltas, state and picture, on test_profile.h's steps.

#include <gmock/gmock.h>

#include <set>

#include "core/error.h"
#include "gui/models/compare_load.h"
#include "gui/models/compare_picture.h"
#include "gui/models/stages.h"
#include "gui/models/timeline_pair.h"
#include "profiler/store/test_profile.h"

namespace shardscope::gui {
namespace {

using shardscope::testing::TempFolder;
using ::testing::Contains;
using ::testing::HasSubstr;

double measure(std::string_view text, bool) { return 7.0 * static_cast<double>(text.size()); }

/// Run 1: two ranks, 5 steps of 1 and 2 ms. Run 2: its prediction, of 2 steps. Run 3: rank 0 alone, 4 steps of 0.5 ms.
class Compare : public ::testing::Test {
 protected:
  Compare() : path_(folder_.file("run.db")) {
    shardscope::testing::record_tiny_profile(path_, "a", 5);
    shardscope::testing::record_tiny_profile(path_, "a", 2, true);
    ProfileWriter writer(path_, shardscope::testing::tiny_run("fast"));
    RankTrace* trace = writer.open_rank(0, shardscope::testing::tiny_program(0, 2));
    for (int step = 0; step < 4; ++step) shardscope::testing::trace_step(*trace, step, 500);
    trace->finish({}, 0);
    writer.finish();
    profile_ = std::make_unique<Profile>(path_);
    runs_ = list_runs(*profile_);
  }
  RunIn run(std::size_t i) const { return {*profile_, runs_[i]}; }
  CompareScene scene(std::size_t b, const CompareState& state) const {
    const Timeline in_a(*profile_, runs_[0].id), in_b(*profile_, runs_[b].id);
    CompareScene scene;
    scene.state = state;
    scene.facts = std::make_shared<PairFacts>(load_pair(run(0), run(b), in_a, in_b, state));
    scene.lanes = std::make_shared<PairLanes>(load_lanes(in_a, in_b, *scene.facts, state.window, 800));
    scene.histogram = std::make_shared<DurationHistogram>(load_histogram(run(0), run(b), *scene.facts, state));
    return scene;
  }
  TempFolder folder_;
  std::string path_;
  std::unique_ptr<Profile> profile_;
  std::vector<RunRow> runs_;
};

TEST_F(Compare, StepsOfBothBeginTogetherAndNoneIsCut) {
  const CompareScene s = scene(2, {});
  EXPECT_EQ(axis_of(*s.facts), (TimeWindow{0, 4'000'000})) << "four steps, as long as A's";
  EXPECT_EQ(step_on_axis(*s.facts, 2'500'000), 2U);
  EXPECT_EQ(step_delta_ns(*s.facts, 1), -500'000);
  const std::vector<StepPlace> places = places_of(*s.facts, Side::kB, {1'500'000, 2'500'000});
  ASSERT_EQ(places.size(), 2U);
  EXPECT_EQ(places[1].run, (TimeWindow{1'000'000, 1'500'000}));
  EXPECT_EQ(places[1].at_ns, 2'000'000);
}

TEST_F(Compare, LanesLieWhereTheirStepsBegin) {
  CompareState state;
  state.window = {2'000'000, 3'000'000};
  const CompareScene s = scene(2, state);
  ASSERT_EQ(s.lanes->a.size(), 4U);
  ASSERT_EQ(s.lanes->b.size(), 4U);
  ASSERT_EQ(s.lanes->a[0].bars.size(), 3U);
  EXPECT_EQ(s.lanes->a[0].bars[1].time, (TimeWindow{2'100'000, 2'400'000}));
  EXPECT_EQ(s.lanes->b[0].bars[1].time, (TimeWindow{2'050'000, 2'200'000}));
  EXPECT_EQ(s.lanes->b[0].bars[1].text, "matmul h.0.mlp");
  EXPECT_EQ(s.lanes->b[1].bars[0].wait_ns, 25'000);
  const LaneBar* bar = bar_at(s.lanes->b[0], 2'100'000, 0);
  ASSERT_NE(bar, nullptr);
  EXPECT_EQ(bar->work, WorkClass::kForward);
  EXPECT_EQ(bar_at(s.lanes->b[0], 2'300'000, 0), nullptr);
}

TEST_F(Compare, APredictionsLastStepIsRepeated) {
  const CompareScene s = scene(1, {});
  double busy = 0;
  for (const LaneBar& bar : s.lanes->b[0].bars) busy += static_cast<double>(bar.time.length());
  EXPECT_EQ(busy, 5 * 600'000) << "five steps, though two are predicted";
}

TEST_F(Compare, ColumnsHoldTheTimeWhereBarsAreTooNarrow) {
  const Timeline timeline(*profile_, 1);
  const LaneBars lane =
      read_lane(timeline, timeline.tracks()[0], {{{1'000'000, 2'000'000}, 0, 1, 1}}, {0, 1'000'000}, 4);
  EXPECT_TRUE(lane.bars.empty());
  ASSERT_EQ(lane.columns.size(), 4U);
  const auto part = [&](std::size_t column, WorkClass work) {
    return (lane.columns[column] >> (8 * static_cast<unsigned>(work))) & 0xFF;
  };
  EXPECT_NEAR(static_cast<double>(part(0, WorkClass::kForward)), 0.6 * kWholeStack, 1);
  EXPECT_NEAR(static_cast<double>(part(0, WorkClass::kLoad)), 0.4 * kWholeStack, 1);
  EXPECT_NEAR(static_cast<double>(part(3, WorkClass::kOptimizer)), 0.8 * kWholeStack, 1);
  EXPECT_EQ(lane.columns[2], 0U);
}

TEST_F(Compare, NextAndPreviousDifference) {
  const CompareScene s = scene(2, {});
  const auto next = next_difference(*s.facts, 0, true);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->axis.begin_ns, 100'000) << "the matmul of step 0";
  EXPECT_EQ(next->delta_ns, -150'000);
  EXPECT_EQ(next_difference(*s.facts, next->axis.begin_ns, true)->axis.begin_ns, 800'000);
  EXPECT_EQ(next_difference(*s.facts, next->axis.begin_ns, false)->axis.begin_ns, 0);
  EXPECT_FALSE(next_difference(*s.facts, 0, false));
}

TEST_F(Compare, ThePictureSaysWhatDiffers) {
  CompareState state;
  state.cursor_ns = 1'500'000;
  for (const auto& [width, height] : {std::pair(1400.0, 800.0), std::pair(420.0, 300.0)}) {
    const Picture picture = draw_compare(scene(2, state), width, height, measure, CompareParts::kAll);
    EXPECT_THAT(picture.texts, Contains(HasSubstr("B has no rank 1; B has")));
    EXPECT_THAT(picture.texts, Contains("A  compute"));
    for (const PictureShape& s : picture.shapes) {
      EXPECT_GE(s.x, 0);
      EXPECT_LE(s.kind == PictureShape::Kind::kFill ? s.x + s.width : 0, width + 0.5);
      EXPECT_LE(s.y, height);
    }
  }
  const Picture picture = draw_compare(scene(2, state), 1400, 800, measure, CompareParts::kAll);
  EXPECT_THAT(picture.texts, Contains("B against A: -500 us ▼ a step, mean of 3"));
  EXPECT_THAT(picture.texts, Contains("matmul h.0.mlp (forward)"));
  EXPECT_THAT(picture.texts, Contains("Executions of matmul h.0.mlp (forward)"));
  CompareScene none;
  none.problem = "nothing open";
  EXPECT_THAT(draw_compare(none, 600, 300, measure, CompareParts::kAll).texts, Contains("nothing open"));
}

TEST_F(Compare, WhatIsUnderThePointerIsSaid) {
  const CompareScene s = scene(2, {});
  const CompareFrame frame = frame_of(s, 1400, 800, measure, CompareParts::kLanes);
  const auto at = [&](const CompareFrame::Row& row, double part) {
    return describe_at(s, frame, frame.left + part * frame.width, row.y + row.height / 2);
  };
  EXPECT_EQ(at(frame.rows[0], 0.05), "matmul h.0.mlp in A: 300 us, step 0");
  EXPECT_EQ(at(frame.rows[5], 0.05), "all_gather h.0 in B: 100 us, of it waiting 25 us, step 0");
  EXPECT_EQ(describe_at(s, frame, frame.left + 5, frame.delta_y + 5), "step 0: -500 us ▼ in B");
  EXPECT_EQ(describe_at(s, frame, 2, frame.delta_y + 5), "");
}

TEST_F(Compare, APredictionLiesUnderItsSteps) {
  const RunAlignment alignment = align_runs(*profile_, 1, *profile_, 3);  // half as long: slips by half a step
  const std::vector<StepPlace> places = predicted_places(alignment, {1'500'000, 2'500'000});
  ASSERT_EQ(places.size(), 2U);
  EXPECT_EQ(places[1].at_ns, 2'000'000);
  EXPECT_EQ(places[1].run, (TimeWindow{1'000'000, 1'500'000}));
  const Timeline predicted(*profile_, 3);
  const TimelinePair pair = load_timeline_pair(predicted, alignment, {{0, "compute"}, {7, "compute"}},
                                               {2'000'000, 3'000'000}, 600, [] { return false; });
  EXPECT_EQ(pair.lanes.size(), 1U) << "rank 7 is not predicted";
  ASSERT_EQ(pair.slips.size(), 1U);
  EXPECT_EQ(pair.slips[0].slip_ns(), 500'000);
  Picture picture(700, 60, {255, 255, 255});
  const RowPlace row{100, 10, 600, 34};
  draw_predicted(picture, pair, 0, "compute", pair.window, row, measure);
  draw_slips(picture, pair, pair.window, row, false, measure);
  EXPECT_THAT(picture.texts, Contains("slip +500 us ▲"));
  for (const PictureShape& s : picture.shapes) {
    const bool bars = s.kind == PictureShape::Kind::kStrip;
    EXPECT_GE(bars ? s.y : row.y + row.height, row.y + measured_half(row).height);
  }
  const auto text = std::find_if(picture.shapes.begin(), picture.shapes.end(),
                                 [](const PictureShape& s) { return s.kind == PictureShape::Kind::kText && s.bold; });
  ASSERT_NE(text, picture.shapes.end());
  EXPECT_GT(text->x, row.x + row.width / 2) << "behind the prediction's end, over nothing";
  EXPECT_GT(text->y - kTextSize, row.y + measured_half(row).height - 2);
  const std::size_t before = picture.shapes.size();
  draw_predicted(picture, pair, 7, "compute", pair.window, row, measure);
  EXPECT_EQ(picture.shapes.size(), before);
}

TEST_F(Compare, AStepThatIsPredictedLongerIsCut) {
  const RunAlignment alignment = align_runs(*profile_, 3, *profile_, 1);
  const std::vector<StepPlace> places = predicted_places(alignment, {0, 2'000'000});
  ASSERT_EQ(places.size(), 4U);
  EXPECT_EQ(places[0].run, (TimeWindow{0, 500'000})) << "where the next one begins";
  EXPECT_EQ(places[3].run.length(), 1'000'000) << "nothing comes after the last";
}

TEST_F(Compare, StagesStandOnOneAxis) {
  StagesData data = load_stages({run(0), run(1), run(2)}, 0, stage_lane_pixels(1100));
  ASSERT_EQ(data.panels.size(), 3U);
  EXPECT_EQ(data.window, (TimeWindow{0, 1'000'000})) << "the longest step";
  EXPECT_EQ(data.panels[2].lanes[0].bars[1].time, (TimeWindow{50'000, 200'000}));
  EXPECT_EQ(data.panels[1].name, "a (predicted)");
  StagePanel refused;
  refused.name = "ZeRO-3";
  refused.problem = "cannot run so";
  data.panels.push_back(refused);
  for (const auto& [width, height] : {std::pair(1100.0, 600.0), std::pair(500.0, 200.0)}) {
    const Picture picture = draw_stages(data, true, width, height, measure);
    EXPECT_THAT(picture.texts, Contains("ZeRO-3"));
    for (const PictureShape& s : picture.shapes) {
      const bool fill = s.kind == PictureShape::Kind::kFill;
      EXPECT_LE(fill ? s.x + s.width : 0, width + 0.5);
    }
  }
  EXPECT_EQ(stages_table(data).rows.size(), 4U);
  std::set<std::string> said;
  for (double x = 0; x < 1100; x += 3) {
    for (double y = 0; y < 600; y += 7) said.insert(describe_stage_at(data, 1100, 600, measure, x, y));
  }
  EXPECT_THAT(said, Contains("a, step 2: matmul h.0.mlp 300 us"));
  EXPECT_THAT(said, Contains("ZeRO-3: cannot run so"));
  EXPECT_THAT(said, Contains(HasSubstr("tokens/s, 500 us a step")));
  EXPECT_THAT(said, Contains(HasSubstr("12 KiB at the peak\nparameter 4 KiB")));
  EXPECT_THAT(runs_to_show(runs_), ::testing::SizeIs(2)) << "the measured ones";
}

TEST_F(Compare, AHistogramCountsEveryExecution) {
  const DurationHistogram h = make_histogram({"k", "p", "n"}, {1e-3, 1e-3, 2e-3}, {4e-3});
  EXPECT_EQ(h.count_a, 3U);
  std::size_t sum = 0;
  for (std::size_t n : h.a) sum += n;
  EXPECT_EQ(sum, 3U);
  EXPECT_EQ(std::find(h.b.rbegin(), h.b.rend(), 1U) - h.b.rbegin(), 1) << "the longest is at the right edge";
  EXPECT_DOUBLE_EQ(h.median_a_s, 1e-3);
  EXPECT_EQ(make_histogram({}, {}, {}).highest(), 0U);
  EXPECT_EQ(make_histogram({}, {0, 0}, {}).highest(), 2U) << "an op that takes no time";
}

TEST_F(Compare, TheDeltaTableHasAllOps) {
  const TableData table = delta_table(scene(2, {}).facts->ops);
  ASSERT_EQ(table.rows.size(), 6U);
  EXPECT_EQ(table.rows[0][0].text, "matmul h.0.mlp (forward)");
  EXPECT_EQ(table.rows[0][3].text, "-300 us ▼");
  EXPECT_EQ(table.rows[0][5].text, "0");
}

TEST_F(Compare, StatesGoToJsonAndBackAndKeysAreNamed) {
  CompareState state;
  EXPECT_EQ(parse_compare_state(to_json(state), "s"), state);
  state = {CompareMode::kStages, "zero-3", {5, 9}, 2, OpLabel{"matmul", "forward", "h.0"}, 7, true};
  EXPECT_EQ(parse_compare_state(to_json(state), "s"), state);
  const auto problem = [](const char* text) -> std::string {
    try {
      parse_compare_state(text, "s.json");
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(problem(R"({"mode": "three"})"),
              HasSubstr("s.json: mode is 'three'; it must be pair, stages or predicted stages"));
  EXPECT_THAT(problem(R"({"op": {"layer": 1}})"), HasSubstr("s.json: op: layer is not a key"));
  EXPECT_THAT(problem(R"({"zoom": 1})"), HasSubstr("zoom is not a key of a compare's state"));
}

TEST_F(Compare, ARankThatOnlyOneRunHasIsRefused) {
  CompareState state;
  state.rank = 1;
  EXPECT_THROW(scene(2, state), Error);
}

}  // namespace
}  // namespace shardscope::gui
