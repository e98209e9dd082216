// What the Plan view is asked and what it answers, without a window.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"
#include "gui/models/plan_blockers.h"
#include "gui/models/plan_fixture_for_test.h"
#include "gui/models/plan_picture.h"

namespace shardscope::gui {
namespace {

PlanState small_state() {
  PlanState state;
  state.inputs.model = "llama-2-7b";
  state.inputs.tokens = 1e11;
  state.inputs.min_gpus = 8, state.inputs.max_gpus = 64;
  return state;
}

const HardwareCatalog& catalog() {
  static const HardwareCatalog kCatalog = default_catalog();
  return kCatalog;
}

std::string error_of(const std::string& json) {
  try {
    parse_plan_state(json, "s.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(PlanState, ComesBackAsItWas) {
  PlanState s = small_state();
  s.inputs.gpus = {"h100-sxm", "b200"}, s.inputs.nic_gbps = 800, s.inputs.seq = 2048, s.inputs.global_batch = 96;
  s.inputs.frameworks = {"megatron"}, s.inputs.precision = "fp8", s.inputs.zero = 0, s.inputs.tp = 8, s.inputs.pp = 2;
  s.inputs.micro_batch = 3, s.inputs.offload = Offload::kOptimizer, s.inputs.recompute = Recompute::kFull;
  s.inputs.usd_per_gpu_hour = 2.5, s.inputs.deadline_days = 30, s.inputs.budget_usd = 1e6;
  s.inputs.objective = Objective::kEnergy;
  PlanKey key{"dgx-h100", "megatron", {.gpus = 64, .dp = 8, .tp = 8, .sp = true, .zero = 1, .micro_batch = 2}};
  s.chosen = key;
  key.plan.vpp = 2, key.plan.schedule = PipelineSchedule::kInterleaved;
  s.pinned = {key, *s.chosen};
  s.hardware = "mine.json", s.sort_column = 4, s.descending = true, s.dark = true;
  EXPECT_EQ(parse_plan_state(to_json(s), "s"), s);
  EXPECT_EQ(parse_plan_state("{}", "s"), PlanState());
}

TEST(PlanState, WhatIsWrongIsNamed) {
  for (const auto& [json, said] : std::vector<std::pair<std::string, std::string>>{
           {"{\"zero\": 4}", "zero"},
           {"{\"zero\": \"three\"}", "zero"},
           {"{\"tp\": 0}", "tp"},
           {"{\"tp\": 1000000000000}", "tp"},
           {"{\"colour\": 1}", "colour"},
           {"{\"gpus\": \"h100\"}", "gpus"},
           {"{\"gpus\": [3]}", "gpus"},
           {"{\"min_gpus\": 64, \"max_gpus\": 8}", "max_gpus"},
           {"{\"offload\": \"moon\"}", "offload"},
           {"{\"version\": 2}", "version"},
           {"{\"view\": \"memory\"}", "view"},
           {"{\"chosen\": 3}", "chosen"},
           {"{\"pinned\": [{\"system\": \"a\", \"framework\": \"b\", \"gpus\": 4, \"dp\": 3}]}", "pinned[0]"},
           {"{\"tokens\": -1}", "tokens"},
           {"{\"objective\": \"fame\"}", "objective"},
           {"[1]", "s.json"},
           {"not json", "s.json"},
       }) {
    const std::string error = error_of(json);
    EXPECT_NE(error.find(said), std::string::npos) << json << " -> " << error;
    EXPECT_NE(error.find("s.json"), std::string::npos) << error;
  }
}

TEST(PlanRequest, FixedInputsAreInEveryPlan) {
  PlanState state = small_state();
  state.inputs.tp = 2, state.inputs.zero = 1, state.inputs.micro_batch = 1, state.inputs.recompute = Recompute::kFull;
  state.inputs.usd_per_gpu_hour = 3, state.inputs.nic_gbps = 123;
  const PlanResult result = evaluate(state, catalog());
  ASSERT_TRUE(result.recommended);
  for (const PlanDot& d : result.dots) {
    EXPECT_EQ(d.point.plan.tp, 2);
    EXPECT_EQ(d.point.plan.zero, 1);
    EXPECT_EQ(d.point.plan.micro_batch, 1);
    EXPECT_EQ(d.point.plan.recompute, Recompute::kFull);
    EXPECT_GE(d.point.plan.gpus, 8);
    EXPECT_LE(d.point.plan.gpus, 64);
  }
  for (const Candidate& c : result.request.candidates) {
    EXPECT_EQ(c.run.usd_per_gpu_hour, 3);
    EXPECT_DOUBLE_EQ(c.target.system.nic_bandwidth.value, 123e9 / 8);
  }
}

TEST(PlanRequest, WhatCannotBeIsNamed) {
  const auto said = [](auto change, const char* word) {
    PlanInputs in = small_state().inputs;
    change(in);
    try {
      make_request(in, catalog());
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
      return;
    }
    ADD_FAILURE() << word;
  };
  said([](PlanInputs& in) { in.tokens = 0; }, "tokens");
  said([](PlanInputs& in) { in.model = "llama-99"; }, "llama-99");
  said([](PlanInputs& in) { in.gpus = {}; }, "GPU");
  said([](PlanInputs& in) { in.gpus = {"abacus"}; }, "abacus");
  said([](PlanInputs& in) { in.min_gpus = 9, in.max_gpus = 15; }, "9 to 15");
  said([](PlanInputs& in) { in.min_gpus = 9, in.max_gpus = 8; }, "9 to 8");
  said([](PlanInputs& in) { in.precision = "fp4"; }, "fp4");
  said([](PlanInputs& in) { in.frameworks = {}; }, "framework");
}

TEST(PlanResult, TheFrontIsTheSearchs) {
  const PlanState state = small_state();
  const PlanResult result = evaluate(state, catalog());
  const SearchResult found = search(make_request(state.inputs, catalog()));
  std::set<double> days, expected;
  for (const PlanDot& d : result.dots) {
    if (d.front) days.insert(d.point.run.days);
  }
  for (const PlanPoint& p : found.pareto) expected.insert(p.run.days);
  EXPECT_EQ(days, expected);
  ASSERT_TRUE(result.recommended);
  EXPECT_EQ(result.dots[*result.recommended].point.run.days,
            recommended_point(found.pareto, state.inputs.objective)->run.days);
  EXPECT_TRUE(std::any_of(result.dots.begin(), result.dots.end(), [](const auto& d) { return !d.front; }));
  for (const PlanDot& d : result.dots) {
    EXPECT_LE(d.low, 1.5);
    EXPECT_GE(d.high, d.low);
  }
}

TEST(PlanResult, RevisingWithoutAChangeChangesNothing) {
  const PlanState state = small_state();
  const PlanResult result = evaluate(state, catalog()), again = revise(result, state, catalog());
  ASSERT_EQ(again.dots.size(), result.dots.size());
  for (std::size_t i = 0; i < result.dots.size(); ++i) {
    EXPECT_EQ(again.dots[i].point.plan, result.dots[i].point.plan);
    EXPECT_EQ(again.dots[i].point.run.days, result.dots[i].point.run.days);
    EXPECT_EQ(again.dots[i].front, result.dots[i].front);
  }
  EXPECT_EQ(again.recommended, result.recommended);
}

TEST(PlanResult, ADearerHourCostsMoreAtOnce) {
  PlanState state = small_state();
  state.inputs.usd_per_gpu_hour = 2;
  const PlanResult before = evaluate(state, catalog());
  state.inputs.usd_per_gpu_hour = 4;
  const PlanResult after = revise(before, state, catalog());
  ASSERT_EQ(before.dots.size(), after.dots.size());
  for (std::size_t i = 0; i < before.dots.size(); ++i)
    EXPECT_NEAR(after.dots[i].point.run.cost_usd / before.dots[i].point.run.cost_usd, 2, 1e-9);
}

TEST(PlanResult, ChosenAndPinnedStay) {
  PlanState state = small_state();
  state.chosen = PlanKey{"dgx-h100", "deepspeed", {.gpus = 8, .dp = 8, .zero = 0, .micro_batch = 1}};
  state.pinned = {PlanKey{"dgx-h100", "megatron", {.gpus = 16, .dp = 2, .tp = 8, .zero = 1, .micro_batch = 1}}};
  const PlanResult result = evaluate(state, catalog());
  ASSERT_NE(find_dot(result, *state.chosen), nullptr);
  EXPECT_FALSE(find_dot(result, *state.chosen)->fits) << "112 GB of state on an 80 GB device";
  EXPECT_EQ(chosen_dot(result, state), find_dot(result, *state.chosen));
  ASSERT_NE(find_dot(result, state.pinned[0]), nullptr);
  EXPECT_FALSE(relief_of(result, *chosen_dot(result, state)).changes.empty());
}

TEST(PlanResult, TheChosenFollowsTheInputs) {
  PlanState state = small_state();
  state.chosen = PlanKey{"dgx-h100", "megatron", {.gpus = 16, .dp = 16, .zero = 1, .micro_batch = 2}};
  const PlanResult before = evaluate(state, catalog());
  state.inputs.tp = 4;
  const PlanDot* chosen = nullptr;
  const PlanResult after = revise(before, state, catalog());
  chosen = chosen_dot(after, state);
  ASSERT_NE(chosen, nullptr);
  EXPECT_EQ(chosen->point.plan.tp, 4);
  EXPECT_EQ(chosen->point.plan.dp, 4);
  state.inputs.tp = 5;
  const PlanResult never = revise(before, state, catalog());
  chosen = chosen_dot(never, state);
  ASSERT_NE(chosen, nullptr);
  EXPECT_FALSE(chosen->legal);
  EXPECT_NE(chosen->problem.find("tp 5"), std::string::npos) << chosen->problem;
  EXPECT_EQ(describe_dot(never, *chosen).back().find("not possible"), 0U);
}

TEST(PlanResult, WhatFitsNowhereSaysSoAndWhatWould) {
  PlanState state = small_state();
  state.inputs.model = "bloom", state.inputs.gpus = {"rtx-4090-server"}, state.inputs.frameworks = {"megatron"};
  state.inputs.min_gpus = state.inputs.max_gpus = 8;
  state.inputs.usd_per_gpu_hour = 1;
  const PlanResult result = evaluate(state, catalog());
  EXPECT_FALSE(result.recommended);
  EXPECT_NE(result.problem.find("fits on none"), std::string::npos) << result.problem;
  EXPECT_EQ(result.problem.find("--"), std::string::npos) << result.problem;
}

TEST(PlanResult, TheInputThatBlocksIsFound) {
  PlanState state = small_state();
  state.inputs.tp = 3;  // 32 heads
  const PlanResult result = evaluate(state, catalog());
  EXPECT_FALSE(result.recommended);
  EXPECT_FALSE(result.problem.empty());
  int blocking = 0;
  for (const PlanChip& chip : chips_of(state.inputs, result)) {
    if (!chip.blocks) continue;
    ++blocking;
    EXPECT_EQ(chip.input, PlanInput::kTp);
    EXPECT_NE(chip.nearest.find("h100-sxm"), std::string::npos);
  }
  EXPECT_EQ(blocking, 1);
}

TEST(PlanResult, ContradictingWishesBothBlock) {
  PlanState state = small_state();
  state.inputs.deadline_days = 2, state.inputs.budget_usd = 1e3;
  const PlanResult result = evaluate(state, catalog());
  EXPECT_FALSE(result.recommended);
  EXPECT_FALSE(result.problem.empty());
  state.inputs.budget_usd = 1e6, state.inputs.deadline_days = 1e-3;
  const PlanResult late = evaluate(state, catalog());
  bool deadline = false;
  for (const PlanChip& chip : chips_of(state.inputs, late))
    deadline |= chip.blocks && chip.input == PlanInput::kDeadline;
  EXPECT_TRUE(deadline);
  EXPECT_NE(late.problem.find("deadline"), std::string::npos) << late.problem;
}

TEST(PlanResult, StopsWhenAsked) {
  PlanState state = small_state();
  EXPECT_TRUE(evaluate(state, catalog(), {.progress = [](const SearchProgress&) { return false; }}).cancelled);
}

double measure(std::string_view text, bool bold) { return static_cast<double>(text.size()) * (bold ? 8 : 7); }

TEST(PlanPicture, MarksAreWhereTheNumbersSay) {
  const PlanResult result = testing::made_result();
  PlanState state;
  const PlanLayout layout = plan_layout(result, state, 1400, 600, measure);
  for (std::size_t i = 0; i < result.dots.size(); ++i) {
    const Point p = layout.places[i];
    EXPECT_GE(p.x, layout.plot.x);
    EXPECT_LE(p.x, layout.plot.x + layout.plot.width);
    EXPECT_GE(p.y, layout.plot.y);
    EXPECT_LE(p.y, layout.plot.y + layout.plot.height);
    EXPECT_EQ(dot_at(layout, result, p.x, p.y), i);
  }
  EXPECT_GT(layout.places[0].x, layout.places[1].x) << "dearer is further right";
  EXPECT_GT(layout.places[0].y, layout.places[1].y) << "faster is lower";
  EXPECT_FALSE(dot_at(layout, result, 2, 2));
}

bool says(const Picture& picture, const std::string& words) {
  return std::any_of(picture.texts.begin(), picture.texts.end(),
                     [&](const std::string& t) { return t.find(words) != std::string::npos; });
}

TEST(PlanPicture, SaysWhatTheChosenOneTakes) {
  PlanState state;
  state.inputs.deadline_days = 60, state.inputs.budget_usd = 420e3;
  const Picture p = draw_plan(testing::made_result(), testing::made_relief(), state, 1400, 700, measure);
  for (const char* words : {"ZeRO 3", "chosen", "68.0 GB of 80.0 GB", "12.0 GB free", "deadline", "budget",
                            "Bottleneck", "twice the NIC: step -11 %", "P10-P90", "does not fit", "optimizer state"}) {
    EXPECT_TRUE(says(p, words)) << words;
  }
}

TEST(PlanPicture, WithoutAnythingItSaysWhy) {
  PlanResult nothing;
  nothing.problem = "llama fits on none of the GPUs";
  EXPECT_TRUE(says(draw_plan(nothing, {}, {}, 1400, 700, measure), "fits on none"));
  EXPECT_TRUE(says(draw_plan({}, {}, {}, 300, 200, measure), "No plan"));
}

TEST(PlanPicture, EverySizeIsDrawnInside) {
  for (const auto& [w, h] : {std::pair{200.0, 200.0}, {600.0, 900.0}, {2400.0, 300.0}}) {
    const Picture p = draw_plan(testing::made_result(), testing::made_relief(), {}, w, h, measure);
    for (const PictureShape& s : p.shapes) {
      if (s.kind != PictureShape::Kind::kText) continue;
      EXPECT_GE(s.y, 0);
      EXPECT_LE(s.y, h + 1) << p.texts[static_cast<std::size_t>(s.text)];
    }
  }
}

TEST(PlanPicture, TicksAreRoundAndEnough) {
  for (const PlanAxis& axis : {PlanAxis{1, 10, 100}, PlanAxis{3.1e5, 5.2e5, 100}, PlanAxis{0.02, 7e4, 100},
                               PlanAxis{99, 101, 100}, PlanAxis{1e-9, 2e-9, 100}}) {
    const std::vector<double> ticks = log_ticks(axis, 8);
    EXPECT_GE(ticks.size(), 2U) << axis.low;
    EXPECT_LE(ticks.size(), 12U) << axis.low;
    EXPECT_TRUE(std::is_sorted(ticks.begin(), ticks.end()));
    for (double t : ticks) EXPECT_TRUE(t >= axis.low && t <= axis.high * (1 + 1e-9)) << t;
  }
}

TEST(PlanPicture, ALowPlotHasMoreThanOneTick) {
  EXPECT_EQ(log_ticks(PlanAxis{4, 175, 95}, 2), (std::vector<double>{10, 100}));
}

TEST(PlanPicture, PartsSumToTheWhole) {
  const PlanResult result = evaluate(small_state(), catalog());
  for (const PlanDot& d : result.dots) {
    double bytes = 0, seconds = 0;
    for (const PlanPart& p : memory_parts(d.point.estimate)) bytes += p.value;
    for (const PlanPart& p : time_parts(d.point.estimate)) seconds += p.value;
    EXPECT_NEAR(bytes / d.point.estimate.used, 1, 1e-9);
    EXPECT_NEAR(seconds / d.point.estimate.step_time_s, 1, 1e-9);
  }
}

TEST(PlanPicture, StagesDifferInMarkAndColour) {
  std::set<std::size_t> points;
  for (int zero = 0; zero < 4; ++zero) {
    Picture p(20, 20, {});
    draw_stage_mark(p, zero, 10, 10, 5, look_of_stage(zero).colour);
    ASSERT_EQ(p.shapes.size(), 1U);
    std::size_t key = p.points.size();
    for (const Point& point : p.points) key = key * 31 + static_cast<std::size_t>(point.x * 8);
    points.insert(key);
    for (int other = 0; other < zero; ++other) EXPECT_FALSE(look_of_stage(zero).colour == look_of_stage(other).colour);
  }
  EXPECT_EQ(points.size(), 4U);
}

}  // namespace
}  // namespace shardscope::gui
