// The timeline's core: state, looking around, layout, what is under a point, and the picture, on test_profile.h's run.

#include <gmock/gmock.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "core/error.h"
#include "gui/models/flame_picture.h"
#include "gui/models/timeline_colours.h"
#include "gui/models/timeline_picture.h"
#include "gui/models/timeline_rows.h"
#include "profiler/store/test_profile.h"

namespace shardscope::gui {
namespace {

using ::testing::HasSubstr;

double measure(std::string_view text, bool) { return 7.0 * static_cast<double>(text.size()); }

std::string problem_with(const std::string& text) {
  try {
    parse_timeline_state(text, "s.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(TimelineState, GoesToJsonAndBack) {
  TimelineState state;
  EXPECT_EQ(parse_timeline_state(to_json(state), "s.json"), state);
  state.window = {5, 5'000'000'000'000};
  state.scroll = 12.5;
  state.expanded = {3, 1};
  state.pinned = {7};
  state.order = {2, 0};
  state.selection = TimelineSelection{3, "gather", 2, 17, 1234};
  state.area = TimelineArea{{10, 20}, 1, 4};
  state.notes = {{70, -1, "here \"it\" stalls"}, {80, 2, ""}};
  state.search = "matmul";
  state.metric = HeatMetric::kIdle;
  state.dark = true;
  state.prediction = false;
  EXPECT_EQ(parse_timeline_state(to_json(state), "s.json"), state);
}

TEST(TimelineState, WhatIsWrongIsNamed) {
  EXPECT_THAT(problem_with("{"), HasSubstr("s.json: not JSON"));
  EXPECT_THAT(problem_with("[]"), HasSubstr("must be an object"));
  EXPECT_THAT(problem_with(R"({"zoom": 2})"), HasSubstr("zoom is not a key"));
  EXPECT_THAT(problem_with(R"({"version": 2})"), HasSubstr("version is 2"));
  EXPECT_THAT(problem_with(R"({"view": "memory"})"), HasSubstr("view is 'memory'"));
  EXPECT_THAT(problem_with(R"({"window_ns": [9, 3]})"), HasSubstr("window_ns must end after it begins"));
  EXPECT_THAT(problem_with(R"({"window_ns": [0, 1e300]})"), HasSubstr("window_ns must be a whole number"));
  EXPECT_THAT(problem_with(R"({"pinned": [-1]})"), HasSubstr("pinned"));
  EXPECT_THAT(problem_with(R"({"area": {"first_rank": 1}})"), HasSubstr("area: last_rank"));
  EXPECT_THAT(problem_with(R"({"selection": {"bytes": 1}})"), HasSubstr("selection: bytes"));
  EXPECT_THAT(problem_with(R"({"metric": "heat"})"), HasSubstr("metric is 'heat'"));
  EXPECT_THAT(problem_with(R"({"notes": [{"when": 1}]})"), HasSubstr("notes: when"));
}

TEST(TimelineState, ZoomKeepsTheInstantUnderThePointer) {
  const TimeWindow extent{0, 1'000'000};
  const TimeWindow near = zoom({0, 1'000'000}, extent, 0.25, 400'000);
  EXPECT_EQ(near, (TimeWindow{300'000, 550'000}));
  EXPECT_DOUBLE_EQ(x_of(400'000, near, 1000), x_of(400'000, extent, 1000));
  EXPECT_EQ(zoom(near, extent, 4, 400'000), extent);
  EXPECT_EQ(zoom(near, extent, 100, 400'000), extent) << "never more than there is";
  EXPECT_EQ(zoom(near, extent, 1e-9, 400'000).length(), kShortestWindowNs);
}

TEST(TimelineState, PanStopsAtTheEnds) {
  const TimeWindow extent{100, 1100};
  EXPECT_EQ(pan({300, 500}, extent, 0.5), (TimeWindow{400, 600}));
  EXPECT_EQ(pan({300, 500}, extent, -5), (TimeWindow{100, 300}));
  EXPECT_EQ(pan({300, 500}, extent, 50), (TimeWindow{900, 1100}));
}

TEST(TimelineState, UndoGoesBackGestureByGesture) {
  const auto at = [](std::int64_t end) {
    TimelineState s;
    s.window = {0, end};
    return s;
  };
  ViewHistory history(at(1));
  history.push(at(2), 7);
  history.push(at(3), 7);  // the same gesture
  history.push(at(4), 8);
  EXPECT_EQ(history.undo(), at(3));
  EXPECT_EQ(history.undo(), at(1));
  EXPECT_EQ(history.undo(), at(1));
  EXPECT_EQ(history.redo(), at(3));
  history.push(at(9));
  EXPECT_EQ(history.redo(), at(9)) << "what was undone is gone";
}

std::vector<TimelineTrack> some_tracks(int ranks, int lanes) {
  std::vector<TimelineTrack> tracks;
  for (int rank = 0; rank < ranks; ++rank) {
    for (int lane = 0; lane < lanes; ++lane) tracks.push_back({0, 0, rank, lane == 0 ? "compute" : "gather", 0, {}});
  }
  return tracks;
}

TEST(TimelineLayout, LanesIfTheyHaveRoomElseRanks) {
  EXPECT_EQ(lay_out(some_tracks(4, 3), {}, 400).rows.size(), 12U);
  const TimelineLayout ranks = lay_out(some_tracks(64, 3), {}, 400);
  EXPECT_EQ(ranks.rows.size(), 64U);
  EXPECT_TRUE(ranks.rows[5].whole_rank);
  EXPECT_EQ(ranks.rows[5].height, 6);
  EXPECT_EQ(ranks.row_at(31)->rank, 5);
  EXPECT_EQ(ranks.row_at(399), nullptr);
  EXPECT_TRUE(lay_out({}, {}, 400).rows.empty());
}

TEST(TimelineLayout, TenThousandRanksAreAMapAboveTheRanksThatStandForThem) {
  const std::vector<TimelineTrack> tracks = some_tracks(10'000, 2);
  TimelineState state;
  const TimelineLayout layout = lay_out(tracks, state, 400, {{4'000, "median"}, {17, "slowest"}});
  ASSERT_TRUE(layout.heat);
  EXPECT_EQ(layout.heat->ranks.size(), 10'000U);
  EXPECT_EQ(layout.heat->rank_at(layout.heat->y), 0);
  EXPECT_EQ(layout.heat->rank_at(layout.heat->y + layout.heat->height), 9'999);
  ASSERT_EQ(layout.rows.size(), 4U) << "two lanes of each";
  EXPECT_EQ(layout.rows.front().rank, 17);
  EXPECT_FALSE(layout.rows.front().whole_rank);
  EXPECT_LE(layout.rows.back().y + layout.rows.back().height, 400);
  state.expanded = std::vector<int>{};
  for (int rank = 0; rank < 100; ++rank) state.expanded->push_back(rank);
  state.scroll = 1e8;
  const TimelineLayout many = lay_out(tracks, state, 400);
  EXPECT_EQ(many.heat->height, 160) << "not less than 40 %";
  EXPECT_EQ(many.rows.back().rank, 99);
  EXPECT_LT(many.rows.size(), 20U) << "only what can be seen";
  state.pinned = {5'000};
  EXPECT_TRUE(lay_out(tracks, state, 400).rows.front().pinned);
}

TEST(TimelineLayout, PinnedRanksStayAndOrderIsKept) {
  TimelineState state;
  state.expanded = std::vector<int>{8};
  state.pinned = {8, 999};  // 999 is not there
  state.order = {5};
  state.scroll = 30;
  const TimelineLayout layout = lay_out(some_tracks(100, 2), state, 200);
  EXPECT_EQ(layout.pinned, 2 * kLaneHeight + kRankGap);
  EXPECT_EQ(layout.row_at(0)->rank, 8);
  EXPECT_EQ(layout.row_at(layout.pinned)->rank, 16) << "30 pixels of rows 5, 0, 1, ... are above";
  state.scroll = 0;
  EXPECT_EQ(lay_out(some_tracks(100, 2), state, 200).row_at(layout.pinned)->rank, 5);
}

class TimelineView : public ::testing::Test {
 protected:
  TimelineView() {
    shardscope::testing::record_tiny_profile(folder_.file("run.db"), "run", 300);
    profile_ = std::make_unique<Profile>(folder_.file("run.db"));
    timeline_ = std::make_unique<Timeline>(*profile_, 1);
  }
  Picture draw(const TimelineState& state) const {
    return draw_timeline(*timeline_, *profile_, 1, {"run", "measured", false}, state, 1000, 500, measure);
  }
  shardscope::testing::TempFolder folder_;
  std::unique_ptr<Profile> profile_;
  std::unique_ptr<Timeline> timeline_;
};

TEST_F(TimelineView, TheOpUnderAPointIsFound) {
  const TimelineRow compute{0, false, {0}};
  const auto found = hit(*timeline_, compute, 1'250'000, 0);
  ASSERT_TRUE(found);
  EXPECT_EQ(timeline_->op(timeline_->tracks()[0], found->span.op).kind, "matmul");
  EXPECT_EQ(found->span.step, 1);
  EXPECT_FALSE(hit(*timeline_, compute, 1'500'000, 0)) << "idle";
  EXPECT_TRUE(hit(*timeline_, compute, 1'405'000, 10'000)) << "near enough";
  const TimelineRow rank{0, true, {0, 1, 2, 3}};
  EXPECT_EQ(hit(*timeline_, rank, 450'000, 0)->track, 1U) << "where compute is idle, what else runs";
}

TEST_F(TimelineView, ColumnsHoldTheTimeExactly) {
  for (const TimeWindow window : {timeline_->extent(), TimeWindow{0, 300'000'000}, TimeWindow{2'000'000, 3'000'000}}) {
    const TimelineTrack& track = timeline_->tracks()[0];
    Columns columns(400);
    add_columns(*timeline_, track, timeline_->look(track, window, 400), window, 1e9, columns);
    double forward = 0;
    for (const auto& column : columns) {
      float all = 0;
      for (float part : column) all += part;
      EXPECT_LE(all, 1.0001F);
      forward += static_cast<double>(column[static_cast<std::size_t>(WorkClass::kForward)]);
    }
    const double busy = static_cast<double>(std::min<std::int64_t>(window.length(), 300'000'000)) * 0.3;
    EXPECT_NEAR(forward * static_cast<double>(window.length()) / 400, busy, busy * 1e-3);
  }
}

TEST_F(TimelineView, AWideSpanIsARectangleWithItsText) {
  TimelineState state;
  state.window = {0, 1'000'000};
  const Picture picture = draw(state);
  const TimelineFrame frame = frame_of(load_catalog(*timeline_, *profile_, 1), 1000, 500, measure);
  const auto is_matmul = [&](const PictureShape& s) {
    return s.kind == PictureShape::Kind::kFill && s.colour == kBlue && s.y == static_cast<float>(frame.top) &&
           std::abs(static_cast<double>(s.x) - frame.left - 0.1 * frame.width) <= 1;
  };
  const auto found = std::find_if(picture.shapes.begin(), picture.shapes.end(), is_matmul);
  ASSERT_NE(found, picture.shapes.end());
  EXPECT_NEAR(static_cast<double>(found->width), 0.3 * frame.width, 2);
  EXPECT_THAT(picture.texts, ::testing::Contains("matmul h.0.mlp"));
  EXPECT_THAT(picture.texts, ::testing::Contains("step 0"));
  EXPECT_THAT(picture.texts, ::testing::Contains("optimizer"));
}

TEST(TimelineLabels, AreCutWhereTheyCanStillBeRead) {
  const TextWidth ten = [](std::string_view text, bool) { return 10.0 * static_cast<double>(text.size()); };
  EXPECT_EQ(fitting_label("matmul h.0.mlp", 140, ten), "matmul h.0.mlp");
  EXPECT_EQ(fitting_label("matmul h.0.mlp", 119, ten), "matmul h…") << "three bytes of a letter";
  EXPECT_EQ(fitting_label("matmul h.0.mlp", 60, ten), "matmul");
  EXPECT_EQ(fitting_label("matmul h.0.mlp", 59, ten), "") << "no mat…";
  EXPECT_EQ(fitting_label("ampere_bf16_gemm", 100, ten), "ampere_…");
  EXPECT_EQ(fitting_label("add", 20, ten), "");
}

TEST_F(TimelineView, NothingIsDrawnOutsideThePicture) {
  TimelineState state;
  state.selection = TimelineSelection{0, "gather", 0, shardscope::testing::kGatherOp.index, 300'000};
  state.area = TimelineArea{{100'000, 900'000}, 0, 1};
  for (const TimeWindow window : {TimeWindow{}, TimeWindow{350'000, 400'000}, TimeWindow{100'000'000, 110'000'000}}) {
    state.window = window;
    const Picture picture = draw(state);
    for (const PictureShape& s : picture.shapes) {
      const double width = s.kind == PictureShape::Kind::kText
                               ? measure(picture.texts[static_cast<std::size_t>(s.text)], s.bold)
                               : static_cast<double>(s.width);
      EXPECT_GE(s.x, 0);
      EXPECT_LE(static_cast<double>(s.x) + width, 1000);
      EXPECT_LE(s.y + s.height, 500);
    }
  }
}

TEST_F(TimelineView, APictureOfManyStepsIsNoLargerThanItsPixels) {
  EXPECT_LT(draw({}).shapes.size(), 8U * 900U * 2U);
  EXPECT_GT(draw({}).shapes.size(), 20U);
}

/// A tile that is read once serves windows beside the one it was read for, column by column.
TEST_F(TimelineView, ATileIsGoodForTheWindowsAroundIt) {
  const TimelineCatalog catalog = load_catalog(*timeline_, *profile_, 1);
  const TimeWindow window{100'000'000, 140'000'000};
  const auto never = [] { return false; };
  const TimelineTile wide = load_tile(*timeline_, catalog, {{}, window, 400, 300, 400, 0}, never);
  EXPECT_EQ(wide.columns, 1200);
  const TimeWindow moved{110'000'000, 150'000'000};
  ASSERT_TRUE(covers(wide, moved, 400));
  EXPECT_FALSE(covers(wide, {190'000'000, 230'000'000}, 400)) << "beyond its end";
  EXPECT_FALSE(covers(wide, {100'000'000, 120'000'000}, 400)) << "another scale";
  const TimelineTile exact = load_tile(*timeline_, catalog, {{}, moved, 400, 300, 0, 0}, never);
  for (const auto& [key, row] : exact.rows) {
    KnownColumns known;
    EXPECT_EQ(columns_for(wide, wide.rows.at(key), moved, 400, known), row.columns);
    EXPECT_EQ(known.first, 0);
    EXPECT_EQ(known.end, 400);
    columns_for(wide, wide.rows.at(key), {170'000'000, 210'000'000}, 400, known);
    EXPECT_EQ(known.end, 100) << "what the tile has not is not idle";
  }
}

TEST_F(TimelineView, AHeatMapHasTheWorstRankOfEachPixel) {
  const HeatMap map = load_heat(*timeline_, {0, 300'000'000}, 30, [] { return false; });
  ASSERT_EQ(map.ranks.size(), 2U);
  // Of a step of 1000: compute 600, gather hidden by it for 100 of 200; 50 and nothing of the collectives wait.
  const HeatCell cell = map.ranks.at(0)[5];
  EXPECT_NEAR(cell[static_cast<std::size_t>(HeatMetric::kCompute)], 0.6 * 255, 6);
  EXPECT_NEAR(cell[static_cast<std::size_t>(HeatMetric::kWaiting)], 0.05 * 255, 4);
  EXPECT_NEAR(cell[static_cast<std::size_t>(HeatMetric::kExposed)], 0.3 * 255, 6) << "at most, as overlap is unknown";
  Picture picture(100, 10, {0, 0, 0});
  draw_heat(picture, map, HeatMetric::kCompute, {0, 2, {0, 1}}, {0, 0, 30, 2}, map.time);
  EXPECT_FALSE(picture.shapes.empty());
  double area = 0;
  for (const PictureShape& s : picture.shapes) area += static_cast<double>(s.width * s.height);
  EXPECT_EQ(area, 60);
}

TEST_F(TimelineView, ARunWithoutSlicesSaysSo) {
  const Timeline none(*profile_, 99);
  const Picture picture = draw_timeline(none, *profile_, 99, {"empty", "", false}, {}, 800, 300, measure);
  EXPECT_THAT(picture.texts, ::testing::Contains(HasSubstr("no slices")));
}

TEST(TimeTicks, AreRoundAndTold) {
  const TimeTicks whole = time_ticks({0, 1'000'000'000}, 5);
  EXPECT_THAT(whole.texts, ::testing::ElementsAre("0", "200 ms", "400 ms", "600 ms", "800 ms"));
  const TimeTicks deep = time_ticks({1'204'000'300, 1'204'004'000}, 4);
  EXPECT_EQ(deep.base, "+ 1.204001 s");
  EXPECT_THAT(deep.texts, ::testing::ElementsAre("+0", "+1 us", "+2 us"));
  EXPECT_EQ(format_time(1'500'000, 500'000), "1.5 ms");
  EXPECT_EQ(format_time(1'500'000'000, 10'000'000), "1.50 s");
}

TEST(NestedLane, CallersStandAboveWhatTheyCall) {
  std::vector<Span> spans{
      {10, 20, 0, 1, 0}, {0, 100, 0, 0, 0}, {10, 50, 0, 2, 0}, {60, 90, 0, 3, 0}, {100, 110, 0, 4, 0}};
  set_depths(spans);
  std::vector<std::pair<int, int>> found;
  for (const Span& span : spans) found.emplace_back(span.op, span.depth);
  EXPECT_THAT(found, ::testing::ElementsAre(std::pair(0, 0), std::pair(2, 1), std::pair(1, 2), std::pair(3, 1),
                                            std::pair(4, 0)));
}

TEST(NestedLane, HasARowForEachLevelAndAPointHasOne) {
  TimelineTrack host{1, 1, 0, "thread 7", 100, {0, 1000}, 3}, gpu{2, 1, 0, "gpu 0 stream 7", 100, {0, 1000}};
  const TimelineLayout layout = lay_out({gpu, host}, {}, 600);
  ASSERT_EQ(layout.rows.size(), 2U);
  EXPECT_EQ(layout.rows[1].depth, 3);
  EXPECT_DOUBLE_EQ(layout.rows[1].height, 3 * layout.rows[0].height);
  const auto lowest = layout.pointed_at(layout.rows[1].y + layout.rows[1].height - 1);
  ASSERT_TRUE(lowest);
  EXPECT_EQ(lowest->level, 2);
  EXPECT_EQ(layout.pointed_at(layout.rows[0].y + 1)->level, 0);
  const RowPlace place = level_place({0, 100, 50, 60}, 1, 3);
  EXPECT_DOUBLE_EQ(place.y, 120);
  EXPECT_DOUBLE_EQ(place.height, 19);
}

TEST(FlamePicture, PartsStandBelowTheWholeAndAreFound) {
  std::vector<FlameNode> flame(4);
  flame[0] = {"all", WorkClass::kForward, 1'000'000, 0, 0, -1, 0, {1, 2}};
  flame[1] = {"forward", WorkClass::kForward, 750'000, 250'000, 0, 0, 1, {3}};
  flame[2] = {"optimizer", WorkClass::kOptimizer, 250'000, 250'000, 2, 0, 1, {}};
  flame[3] = {"matmul", WorkClass::kForward, 500'000, 500'000, 8, 1, 2, {}};
  EXPECT_EQ(flame_at(flame, 0, 800, 100, 5), 0);
  EXPECT_EQ(flame_at(flame, 0, 800, 100, kFlameRow + 5), 1);
  EXPECT_EQ(flame_at(flame, 0, 800, 700, kFlameRow + 5), 2);
  EXPECT_EQ(flame_at(flame, 0, 800, 100, 2 * kFlameRow + 5), 3);
  EXPECT_EQ(flame_at(flame, 0, 800, 500, 2 * kFlameRow + 5), -1) << "its own time";
  EXPECT_EQ(flame_at(flame, 1, 800, 790, kFlameRow + 5), 1) << "as wide as all";
  EXPECT_EQ(describe_flame(flame, 1), "all; forward: 750 us, 75.0 % of all\n250 us of its own");
  const Picture picture = draw_flame(flame, 0, false, 800, 200, measure);
  EXPECT_THAT(picture.texts, ::testing::IsSupersetOf({"all 1 ms", "forward 750 us", "matmul 500 us"}));
  EXPECT_EQ(flame_table(flame).rows.size(), 3U);
  EXPECT_EQ(draw_flame({{"all"}}, 0, true, 300, 100, measure).texts.front(), "Nothing ran here.");
}

TEST(TimelineFlow, JoinsTheSpansOfAStepByTheProgramsOrder) {
  const shardscope::testing::TempFolder folder;
  shardscope::testing::record_tiny_profile(folder.file("run.db"), "run", 3);
  const Profile profile(folder.file("run.db"));
  const Timeline timeline(profile, 1);
  TiedSpan adam;
  for (std::size_t i = 0; i < timeline.tracks().size(); ++i) {
    for (const Span& span : timeline.spans(timeline.tracks()[i], timeline.extent())) {
      if (timeline.tracks()[i].rank == 1 && span.op == shardscope::testing::kAdamOp.index && span.step == 2)
        adam = {i, span};
    }
  }
  const std::int32_t to = shardscope::testing::kAdamOp.index, copy = shardscope::testing::kCopyOp.index;
  const std::vector<FlowArrow> arrows = load_flow(timeline, adam, {{copy, to}, {99, to}});
  ASSERT_EQ(arrows.size(), 1U) << "of what did not run there is no arrow";
  EXPECT_EQ(arrows[0].to.span, adam.span);
  EXPECT_EQ(arrows[0].from.span.op, copy);
  EXPECT_EQ(arrows[0].from.span.step, 2);
  EXPECT_LE(arrows[0].from.span.end_ns, adam.span.begin_ns);
  EXPECT_EQ(timeline.tracks()[arrows[0].from.track].rank, 1);
}

TEST(Picture, WrapsBetweenWordsAndWithinLongOnes) {
  using Lines = std::vector<std::string>;
  EXPECT_EQ(wrap("one two three", 56, measure), (Lines{"one two", "three"}));
  EXPECT_EQ(wrap("costs $137.3 k", 64, measure), (Lines{"costs", "$137.3 k"})) << "a unit stays with its number";
  EXPECT_EQ(wrap("in /a/long/path.db: no", 48, measure), (Lines{"in", "/a/lon", "g/path", ".db:", "no"}));
  EXPECT_EQ(wrap("\xC3\xA4\xC3\xA4", 1, measure), (Lines{"\xC3\xA4", "\xC3\xA4"})) << "never within a character";
  EXPECT_TRUE(wrap("", 5, measure).empty());
}

TEST(Picture, ElidesBetweenCharacters) {
  EXPECT_EQ(elide("matmul", 100, measure), "matmul");
  EXPECT_EQ(elide("matmul h.0.mlp", 56, measure), "matmu…") << "the mark is three bytes";
  EXPECT_EQ(elide("matmul", 20, measure), "");
  const std::string cut = elide("ab\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4", 48, measure);
  EXPECT_EQ(cut, "ab…");
}

TEST(Picture, SvgEscapesWhatAProfileSays) {
  Picture picture(100, 50, {255, 255, 255});
  picture.text(1, 2, "<script>&\x01\"", {0, 0, 0});
  picture.fill(0, 0, 10, 10, kGrey, Texture::kDots);
  picture.fill(0, 0, 0, 10, kGrey);  // empty
  const std::string svg = to_svg(picture);
  EXPECT_THAT(svg, HasSubstr("&lt;script&gt;&amp; &quot;"));
  EXPECT_THAT(svg, HasSubstr("url(#dots)"));
  EXPECT_EQ(picture.shapes.size(), 2U);
}

TEST(Picture, LinesPolygonsAndDiscsHaveAnSvgForm) {
  Picture picture(100, 50, {255, 255, 255});
  picture.line(1, 2, 3, 4.5, kBlue, {2, true});
  const Point corners[] = {{0, 0}, {10, 0}, {5, 8}};
  picture.line(corners, kGrey);
  picture.polygon(corners, kGreen, Texture::kHatch);
  picture.disc(20, 20, 5, kOrange);
  picture.ring(40, 20, 5, kVermilion, 2);
  const std::string svg = to_svg(picture);
  EXPECT_THAT(svg, HasSubstr("<polyline points=\"1,2 3,4.5\" fill=\"none\" stroke=\"#0072b2\" stroke-width=\"2\" "
                             "stroke-dasharray=\"4 4\"/>"));
  EXPECT_THAT(svg,
              HasSubstr("<polyline points=\"0,0 10,0 5,8\" fill=\"none\" stroke=\"#999999\" stroke-width=\"1\"/>"));
  EXPECT_THAT(svg, HasSubstr("<polygon points=\"0,0 10,0 5,8\" fill=\"#009e73\"/>"));
  EXPECT_THAT(svg, HasSubstr("<polygon points=\"0,0 10,0 5,8\" fill=\"url(#hatch)\"/>"));
  EXPECT_THAT(svg, HasSubstr("<circle cx=\"20\" cy=\"20\" r=\"5\" fill=\"#e69f00\"/>"));
  EXPECT_THAT(svg, HasSubstr("r=\"4\" fill=\"none\" stroke=\"#d55e00\" stroke-width=\"2\"/>"));
}

TEST(Picture, TextsStandAtEitherEndAndUpright) {
  Picture picture(100, 50, {255, 255, 255});
  picture.text(90, 10, "right", kBlue, true, TextAnchor::kEnd);
  picture.text_upward(12, 30, "up", kBlue);
  const std::string svg = to_svg(picture);
  EXPECT_THAT(svg, HasSubstr("font-weight=\"bold\" text-anchor=\"end\">right<"));
  EXPECT_THAT(svg, HasSubstr("text-anchor=\"middle\" transform=\"rotate(-90 12 30)\">up<"));
}

TEST(Picture, WhatIsNoNumberOrNoShapeIsLeftOut) {
  Picture picture(100, 50, {255, 255, 255});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  picture.line(0, nan, 1, 1, kBlue);
  picture.line(0, 0, 1e300, 1, kBlue);  // beyond a float
  picture.line(std::span<const Point>(), kBlue);
  const Point two[] = {{0, 0}, {1, 1}};
  picture.polygon(two, kBlue);
  picture.disc(1, 1, 0, kBlue);
  picture.ring(1, nan, 3, kBlue);
  picture.text_upward(1, 1, "", kBlue);
  EXPECT_TRUE(picture.shapes.empty());
  EXPECT_TRUE(picture.points.empty());
}

TEST(TimelineColours, ClassesThatShareAPartOfAStripLookTheSame) {
  for (int c = 0; c < kWorkClasses; ++c) {
    const auto work = static_cast<WorkClass>(c);
    ASSERT_LT(strip_part(work), static_cast<std::size_t>(kStackParts));
    const WorkLook look = look_of(work), part = look_of(static_cast<WorkClass>(strip_part(work)));
    EXPECT_EQ(look.colour, part.colour) << c;
    EXPECT_EQ(look.texture, part.texture) << c;
  }
}

TEST(TimelineColours, ClassesOfOneLaneDifferInMoreThanHue) {
  const WorkClass compute[] = {WorkClass::kForward, WorkClass::kRecompute, WorkClass::kBackward, WorkClass::kOptimizer};
  for (WorkClass a : compute) {
    for (WorkClass b : compute) {
      EXPECT_TRUE(a == b || look_of(a).texture != look_of(b).texture);
    }
    EXPECT_GE(contrast_ratio(text_colour_on(look_of(a).colour), look_of(a).colour), 4.5);
  }
  for (bool dark : {false, true}) {
    EXPECT_GE(contrast_ratio(shades_of(dark).text, shades_of(dark).ground), 4.5);
    EXPECT_GE(contrast_ratio(shades_of(dark).faint, shades_of(dark).ground), 4.5);
  }
}

}  // namespace
}  // namespace shardscope::gui
