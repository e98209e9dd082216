// Waterfall and scatter: what they are made of, their states, and what their pictures show.

#include "gui/models/waterfall.h"

#include <gmock/gmock.h>

#include <QAbstractItemModelTester>

#include "core/error.h"
#include "gui/models/other_run.h"
#include "gui/models/pair_load.h"
#include "profiler/store/test_profile.h"

namespace shardscope::gui {
namespace {

using shardscope::testing::TempFolder;
using ::testing::Contains;
using ::testing::HasSubstr;

double measure(std::string_view text, bool) { return 7.0 * static_cast<double>(text.size()); }

template <class F>
std::string problem_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

/// 100 ns of compute and 50 of waiting became 130 and 30, idle 10 as before.
StepDifference some_difference() {
  StepDifference d;
  d.a = {130, 0, 0, 0, 30, 0, 10};
  d.b = {100, 0, 0, 0, 50, 0, 10};
  d.steps = d.ranks = 1;
  return d;
}

TEST(Waterfall, BarsGoFromOneRunToTheOther) {
  const Waterfall w = make_waterfall(some_difference(), {"run", "its prediction", false, true}, {});
  ASSERT_EQ(w.steps.size(), 3U) << "causes that take no time are left out";
  EXPECT_DOUBLE_EQ(w.base_s, 160e-9);
  EXPECT_DOUBLE_EQ(w.run_s, 170e-9);
  EXPECT_DOUBLE_EQ(w.steps[0].from_s, w.base_s);
  for (std::size_t i = 1; i < w.steps.size(); ++i) EXPECT_DOUBLE_EQ(w.steps[i].from_s, w.steps[i - 1].to_s);
  EXPECT_DOUBLE_EQ(w.steps.back().to_s, w.run_s);
  EXPECT_EQ(w.title, "Why run takes 10 ns longer than its prediction");
  EXPECT_EQ(w.remark, "1 step, 1 rank");
  const TableData table = waterfall_table(w);
  ASSERT_EQ(table.rows.size(), 4U);
  EXPECT_EQ(table.rows[1][0].text, "waiting for a straggler");
  EXPECT_EQ(table.rows[1][3].text, "-20 ns ▼");
  EXPECT_EQ(table.rows[3][4].text, "100 %");
}

TEST(Waterfall, ThePictureSaysSlowerAndFasterWithoutColour) {
  const Waterfall w = make_waterfall(some_difference(), {"run", "its prediction", false, true}, {});
  for (const auto& [width, height] : {std::pair(1200.0, 500.0), std::pair(260.0, 200.0)}) {
    const Picture picture = draw_waterfall(w, false, width, height, measure);
    EXPECT_THAT(picture.texts, Contains("+30 ns ▲"));
    EXPECT_THAT(picture.texts, Contains("-20 ns ▼"));
    for (const PictureShape& s : picture.shapes) {
      if (s.kind != PictureShape::Kind::kFill) continue;
      EXPECT_GE(s.x, 0);
      EXPECT_LE(s.x + s.width, width + 0.5);
    }
  }
  EXPECT_THAT(draw_waterfall(no_waterfall("no step"), true, 400, 300, measure).texts, Contains("no step"));
}

TEST(Waterfall, StatesGoToJsonAndBackAndKeysAreNamed) {
  const WaterfallState state{"zero-3", 2, 7, true};
  EXPECT_EQ(parse_waterfall_state(to_json(state), "s"), state);
  EXPECT_EQ(parse_waterfall_state(to_json(WaterfallState{}), "s"), WaterfallState{});
  const auto problem = [](const char* text) { return problem_of([&] { parse_waterfall_state(text, "s.json"); }); };
  EXPECT_THAT(problem(R"({"ranks": 1})"), HasSubstr("s.json: ranks is not a key of a waterfall's state"));
  EXPECT_THAT(problem(R"({"view": "timeline"})"), HasSubstr("it must be waterfall"));
  EXPECT_THAT(problem(R"({"rank": -1})"), HasSubstr("rank must be a whole number"));
  const ScatterState dots{"attention", "matmul", false};
  EXPECT_EQ(parse_scatter_state(to_json(dots), "s"), dots);
  EXPECT_THAT(problem_of([] { parse_scatter_state(R"({"family": "x"})", "s"); }), HasSubstr("matrix products"));
}

CalibrationPoint point(const char* kind, WorkClass work, double measured, double predicted) {
  return {{kind, "forward", "h.0"}, 0, 0, work, measured, predicted};
}

ScatterData some_points() {
  return {{point("matmul", WorkClass::kForward, 1e-3, 1.1e-3), point("attention", WorkClass::kBackward, 2e-3, 5e-3),
           point("adam", WorkClass::kOptimizer, 1e-5, 1e-5), point("layer_norm", WorkClass::kForward, 1e-4, 1e-4),
           point("all_gather", WorkClass::kCommunication, 1e-2, 1e-2), point("copy", WorkClass::kOffload, 3e-2, 1e-2)},
          "run",
          {}};
}

TEST(Scatter, EachFamilyHasAMarkOfItsOwn) {
  const ScatterData data = some_points();
  for (int i = 0; i < kOpFamilies; ++i) {
    const auto family = static_cast<OpFamily>(i);
    EXPECT_TRUE(std::any_of(data.points.begin(), data.points.end(), [&](const CalibrationPoint& p) {
      return family_of(p) == family;
    })) << to_string(family);
  }
  const Picture picture = draw_scatter(data, {}, 900, 700, measure);
  EXPECT_THAT(picture.texts, Contains("6 ops; median error 5 %, 67 % within a factor of 2"));
  EXPECT_THAT(picture.texts, Contains("collectives"));
  EXPECT_EQ(scatter_table(data).rows.size(), 6U);
  EXPECT_THAT(draw_scatter({{}, "run", "no prediction"}, {}, 900, 700, measure).texts, Contains("no prediction"));
}

TEST(Scatter, ThePointUnderThePointerIsFound) {
  const ScatterData data = some_points();
  const Picture picture =
      draw_scatter(data, {.family = "matrix products", .op = "matmul h.0 (forward)"}, 900, 700, measure);
  const auto ring = std::find_if(picture.shapes.begin(), picture.shapes.end(), [](const PictureShape& s) {
    return s.kind == PictureShape::Kind::kDisc && s.hollow && s.width > 14;
  });
  ASSERT_NE(ring, picture.shapes.end()) << "the chosen op is ringed";
  const auto found = [&](const ScatterState& state, double dx) {
    return scatter_hit(data, state, 900, 700, measure, static_cast<double>(ring->x) + dx, static_cast<double>(ring->y));
  };
  EXPECT_EQ(found({}, 3), 0U);
  EXPECT_FALSE(found({}, 12));
  EXPECT_FALSE(found({.family = "attention"}, 0)) << "what is not shown is not found";
  EXPECT_EQ(describe(data.points[0]), "matmul h.0 (forward), micro-batch 0: measured 1 ms, predicted 1.1 ms, x1.10");
}

class PairLoad : public ::testing::Test {
 protected:
  PairLoad() : path_(folder_.file("run.db")) {
    shardscope::testing::record_tiny_profile(path_, "a", 5);
    shardscope::testing::record_tiny_profile(path_, "a", 2, true);
    shardscope::testing::record_tiny_profile(path_, "b", 1);
    profile_ = std::make_unique<Profile>(path_);
    runs_ = list_runs(*profile_);
  }
  TempFolder folder_;
  std::string path_;
  std::unique_ptr<Profile> profile_;
  std::vector<RunRow> runs_;
};

TEST_F(PairLoad, TheOtherRunIsThePredictionElseTheNext) {
  EXPECT_EQ(other_run(*profile_, runs_[0], "").id, 2);
  EXPECT_EQ(other_run(*profile_, runs_[0], "b").id, 3);
  EXPECT_EQ(other_run(*profile_, runs_[2], "").id, 1) << "b has no prediction";
  EXPECT_THAT(problem_of([&] { other_run(*profile_, runs_[0], "1"); }), HasSubstr("is the one that is to be compared"));
  EXPECT_THAT(problem_of([&] { prediction_of(*profile_, runs_[2]); }), HasSubstr("holds no prediction of b"));
}

TEST_F(PairLoad, AWaterfallOfARunAgainstItsPrediction) {
  const Waterfall w = load_waterfall({*profile_, runs_[0]}, {*profile_, runs_[1]}, {.rank = 0});
  EXPECT_EQ(w.title, "a takes as long as its prediction");
  EXPECT_EQ(w.remark, "mean of 4 steps, rank 0");
  EXPECT_DOUBLE_EQ(w.run_s, 1e-3);
  EXPECT_EQ(load_scatter({*profile_, runs_[0]}, {*profile_, runs_[1]}).points.size(), 6U);
}

}  // namespace
}  // namespace shardscope::gui
