// The memory view's core: state, layout, what is read for a picture, the picture, what is under a point.

#include <gmock/gmock.h>

#include <memory>

#include "core/error.h"
#include "gui/models/colour_map.h"
#include "gui/models/memory_looks.h"
#include "gui/models/memory_picture.h"
#include "gui/models/memory_rows.h"
#include "gui/models/memory_sample.h"
#include "gui/models/memory_table.h"
#include "gui/models/memory_why.h"
#include "gui/models/timeline_colours.h"
#include "profiler/store/sqlite.h"

namespace shardscope::gui {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

double measure(std::string_view text, bool) { return 7.0 * static_cast<double>(text.size()); }

std::string problem_with(const std::string& text) {
  try {
    parse_memory_state(text, "s.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(MemoryState, GoesToJsonAndBack) {
  MemoryState state;
  EXPECT_EQ(parse_memory_state(to_json(state), "s.json"), state);
  state.window = {5, 5'000'000'000'000};
  state.space = Space::kNvme;
  state.ranks = MemoryRanks::kOne;
  state.rank = 17;
  state.first = 3;
  state.hidden = {Category::kBatch, Category::kParameter};
  state.limit_bytes = 80LL << 30;
  state.cursor = MemoryCursor{17, 1234};
  state.dark = true;
  EXPECT_EQ(parse_memory_state(to_json(state), "s.json"), state);
}

TEST(MemoryState, WhatIsWrongIsNamed) {
  EXPECT_THAT(problem_with("{"), HasSubstr("s.json: not JSON"));
  EXPECT_THAT(problem_with(R"({"view": "timeline"})"), HasSubstr("view is 'timeline'"));
  EXPECT_THAT(problem_with(R"({"zoom": 2})"), HasSubstr("zoom is not a key"));
  EXPECT_THAT(problem_with(R"({"space": "attic"})"), HasSubstr("space is 'attic'; it must be device"));
  EXPECT_THAT(problem_with(R"({"ranks": "best"})"), HasSubstr("ranks is 'best'"));
  EXPECT_THAT(problem_with(R"({"rank": -1})"), HasSubstr("rank must be"));
  EXPECT_THAT(problem_with(R"({"hidden": ["gold"]})"), HasSubstr("hidden holds \"gold\""));
  EXPECT_THAT(problem_with(R"({"hidden": "batch"})"), HasSubstr("hidden must be a list"));
  EXPECT_THAT(problem_with(R"({"cursor": {"x": 1}})"), HasSubstr("cursor: x is not a key"));
  EXPECT_THAT(problem_with(R"({"limit_bytes": 1e300})"), HasSubstr("limit_bytes"));
}

TEST(MemoryFrame, HasRoomForWhatItSays) {
  for (const std::size_t ranks : {0U, 1U, 2U, 8U, 1024U, 10'000U}) {
    for (const MemoryRanks which : {MemoryRanks::kWorst, MemoryRanks::kAll, MemoryRanks::kOne}) {
      for (const auto& [width, height] : {std::pair(200.0, 200.0), std::pair(700.0, 300.0), std::pair(1600.0, 900.0)}) {
        const MemoryFrame f = memory_frame(ranks, which, width, height);
        EXPECT_LE(f.left + f.width, width);
        EXPECT_GE(f.width, 1);
        EXPECT_LE(f.top + f.panels * f.panel_height, (f.heat_height > 0 ? f.heat_top : f.bottom) + 1) << height;
        EXPECT_LE(f.heat_top + f.heat_height, f.bottom);
        EXPECT_LE(f.panels, which == MemoryRanks::kOne ? 1 : which == MemoryRanks::kWorst ? kWorstRanks : 10'000);
        EXPECT_TRUE(f.side_width == 0 || f.left + f.width < f.side_left);
      }
    }
  }
  EXPECT_EQ(memory_frame(1, MemoryRanks::kWorst, 1600, 900).heat_height, 0) << "one rank needs no map";
}

class MemoryView : public ::testing::Test {
 protected:
  MemoryView() { open(3); }
  void open(int ranks) {
    close();
    const std::string path = folder_.file(std::to_string(ranks) + ".db");
    record_sample_memory(path, ranks);
    reopen(path);
  }
  void reopen(const std::string& path) {
    close();
    path_ = path;
    profile_ = std::make_unique<Profile>(path);
    memory_ = std::make_unique<MemoryTimeline>(*profile_, load_memory_facts(*profile_, 1));
    predicted_ = std::make_unique<MemoryTimeline>(*profile_, load_memory_facts(*profile_, 2));
  }
  void close() {
    memory_.reset();
    predicted_.reset();
    profile_.reset();
  }
  void change(const std::string& sql) {
    close();
    Connection(path_, Connection::Mode::kReadWrite).execute(sql);
    reopen(path_);
  }
  MemoryData load(const MemoryState& state, double width = 1200, double height = 700) const {
    const MemoryFrame frame = memory_frame(memory_->facts().of(state.space).size(), state.ranks, width, height);
    return load_memory_data(*memory_, predicted_.get(), state, frame);
  }
  Picture draw(const MemoryState& state, double width = 1200, double height = 700) const {
    return draw_memory(load(state, width, height), {"sample", "measured", false}, state, width, height, measure);
  }
  shardscope::testing::TempFolder folder_;
  std::string path_;
  std::unique_ptr<Profile> profile_;
  std::unique_ptr<MemoryTimeline> memory_, predicted_;
};

TEST_F(MemoryView, TheFullestRanksComeFirst) {
  const MemoryData data = load({});
  ASSERT_EQ(data.panels.size(), 3U);
  EXPECT_EQ(data.panels[0].peak.rank, 2);
  EXPECT_EQ(data.panels[0].peak.peak_bytes, 44 * kSampleMiB);
  EXPECT_EQ(data.panels[0].peak.predicted_bytes, 38 * kSampleMiB);
  EXPECT_EQ(data.panels[2].peak.rank, 0);
  EXPECT_THAT(data.spaces, ::testing::ElementsAre(Space::kDevice, Space::kHost));
  EXPECT_EQ(data.limit_bytes, kSampleLimit);
  EXPECT_EQ(data.window, (TimeWindow{0, 2 * kSampleStep}));
}

TEST_F(MemoryView, TheFirstInstantOverTheLimitHasItsOp) {
  const MemoryData data = load({});
  ASSERT_TRUE(data.panels[0].over);
  EXPECT_EQ(data.panels[0].over->instant.time_ns, 5'000'000);
  EXPECT_EQ(data.panels[0].over->where, "backward, layer 1, h.1");
  EXPECT_FALSE(data.panels[2].over) << "rank 0 stays below";
  EXPECT_EQ(data.first_over_rank, 1);
  EXPECT_EQ(data.first_over_ns, 5'000'000);
  MemoryState wide;
  wide.limit_bytes = 1000 * kSampleMiB;
  EXPECT_EQ(load(wide).first_over_rank, -1);
  EXPECT_FALSE(load(wide).panels[0].over);
  MemoryState host;
  host.space = Space::kHost;
  EXPECT_EQ(load(host).limit_bytes, 0) << "the run's limit is the device's";
}

TEST_F(MemoryView, ThePredictedStepIsLaidOverEachMeasuredOne) {
  const std::vector<MemoryPoint> points = load({}).panels[0].predicted;
  ASSERT_FALSE(points.empty());
  std::int64_t highest = 0;
  int at_peak = 0;
  for (const MemoryPoint& p : points) highest = std::max(highest, p.bytes);
  for (const MemoryPoint& p : points) at_peak += p.bytes == highest && p.time_ns % kSampleStep > 4'900'000 ? 1 : 0;
  EXPECT_EQ(highest, 38 * kSampleMiB);
  EXPECT_GE(at_peak, 2) << "in both steps";
  const MemoryState narrow;
  EXPECT_EQ(load(narrow, 180, 300).panels[0].predicted.size(), 2U) << "steps too narrow: its peak only";
}

TEST_F(MemoryView, RanksAreChosen) {
  open(20);
  MemoryState state;
  EXPECT_EQ(load(state, 1200, 1400).panels.size(), 8U);
  state.ranks = MemoryRanks::kAll;
  state.first = 5;
  const MemoryData all = load(state, 1200, 500);
  ASSERT_GE(all.panels.size(), 3U);
  EXPECT_EQ(all.panels[0].peak.rank, 5);
  state.first = 100'000;
  EXPECT_EQ(load(state, 1200, 500).panels.back().peak.rank, 19) << "the last ones, and no further";
  state.ranks = MemoryRanks::kOne;
  state.rank = 7;
  ASSERT_EQ(load(state).panels.size(), 1U);
  EXPECT_EQ(load(state).panels[0].peak.rank, 7);
  state.rank = 999;
  EXPECT_EQ(load(state).panels[0].peak.rank, 2) << "there is no such rank: the fullest";
}

std::size_t fills(const Picture& picture, Rgb colour) {
  return static_cast<std::size_t>(
      std::count_if(picture.shapes.begin(), picture.shapes.end(), [&](const PictureShape& s) {
        return (s.kind == PictureShape::Kind::kPolygon || s.kind == PictureShape::Kind::kFill) && s.colour == colour;
      }));
}

TEST_F(MemoryView, AreasLegendAndTextsAreThere) {
  const Picture picture = draw({});
  EXPECT_GE(fills(picture, kBlue), 3U);
  for (const char* text :
       {"rank 2", "parameters", "gradients", "activations", "predicted", "limit 40 MiB", "all 3 ranks"})
    EXPECT_THAT(picture.texts, Contains(text));
  EXPECT_THAT(picture.texts,
              Contains(HasSubstr("peak 44 MiB (predicted 38 MiB) at 5.0 ms, step 0, backward, layer 1")));
  EXPECT_THAT(picture.texts, Contains(HasSubstr("over the limit first on rank 1 at 5.0")));
  EXPECT_THAT(picture.texts, Contains("act")) << "written into the area";
  EXPECT_THAT(picture.texts, Not(Contains("batch"))) << "nothing of it";
}

TEST_F(MemoryView, AHiddenCategoryLeavesTheAreasAndItsNameStays) {
  MemoryState state;
  state.hidden = {Category::kActivation};
  const std::size_t before = fills(draw({}), kVermilion), after = fills(draw(state), kVermilion);
  EXPECT_EQ(before - after, 3U + 1U) << "an area per rank and the legend's fill";
  EXPECT_THAT(draw(state).texts, Contains("activations"));
}

TEST_F(MemoryView, TheCursorShowsWhatIsLive) {
  MemoryState state;
  state.cursor = MemoryCursor{2, kSampleStep + 5'500'000};
  const MemoryData data = load(state);
  ASSERT_TRUE(data.at_cursor);
  ASSERT_EQ(data.at_cursor->rows.size(), 5U);
  EXPECT_EQ(data.at_cursor->rows[4].op, LiveAllocation::kUnknown) << "6 MiB more than the program says";
  EXPECT_THAT(draw(state).texts, Contains(HasSubstr("Live on rank 2 at 15.5")));
  EXPECT_THAT(draw(state).texts, Contains(HasSubstr("grad.1 (gradients), backward, layer 1")));
  state.cursor->rank = 99;
  EXPECT_TRUE(load(state).at_cursor->rows.empty());
}

TEST_F(MemoryView, TheFirstInstantOverTheLimitIsTakenApart) {
  const MemoryData data = load({});
  ASSERT_TRUE(data.why);
  EXPECT_EQ(data.why->rank, data.first_over_rank);
  EXPECT_EQ(data.why->mark.instant.time_ns, 5'000'000) << "the gradient of 12 MiB crosses it";
  EXPECT_THAT(data.why->mark.where, HasSubstr("backward, layer 1"));
  EXPECT_EQ(
      describe(*data.why, data.limit_bytes),
      "rank 1 is first over the limit of 40 MiB, by 1 MiB: parameters 8 MiB, gradients 12 MiB, activations 21 MiB");
  const Picture picture = draw({});
  EXPECT_THAT(picture.texts, Contains(HasSubstr("Why rank 1 is over the limit at 5")));
  EXPECT_THAT(picture.texts, Contains("limit 40 MiB, 1 MiB over it"));
  EXPECT_THAT(memory_table_title(data, {}), HasSubstr("first over the limit of 40 MiB"));
  MemoryState roomy;
  roomy.limit_bytes = 64LL << 20;
  EXPECT_FALSE(load(roomy).why);
  EXPECT_THAT(draw(roomy).texts, Not(Contains(HasSubstr("Why rank"))));
}

TEST_F(MemoryView, NothingIsDrawnOutsideThePicture) {
  MemoryState state;
  state.cursor = MemoryCursor{2, 5'500'000};
  for (const TimeWindow window : {TimeWindow{}, TimeWindow{4'000'000, 6'000'000}, TimeWindow{1, 101},
                                  TimeWindow{90'000'000'000, 95'000'000'000}}) {
    for (const auto& [width, height] : {std::pair(1200.0, 700.0), std::pair(300.0, 220.0), std::pair(950.0, 240.0)}) {
      state.window = window;
      const Picture picture = draw(state, width, height);
      for (const PictureShape& s : picture.shapes) {
        if (s.kind == PictureShape::Kind::kLine || s.kind == PictureShape::Kind::kPolygon) {
          for (const Point& p : picture.points_of(s)) {
            EXPECT_TRUE(p.x >= 0 && static_cast<double>(p.x) <= width && p.y >= 0 &&
                        static_cast<double>(p.y) <= height);
          }
          continue;
        }
        if (s.kind == PictureShape::Kind::kDisc) continue;
        double wide = static_cast<double>(s.width), left = static_cast<double>(s.x);
        if (s.kind == PictureShape::Kind::kText) {
          wide = measure(picture.texts[static_cast<std::size_t>(s.text)], s.bold);
          if (s.anchor == TextAnchor::kEnd) left -= wide;
        }
        EXPECT_GE(left, -0.01) << (s.text >= 0 ? picture.texts[static_cast<std::size_t>(s.text)] : "");
        EXPECT_LE(left + wide, width + 0.01) << (s.text >= 0 ? picture.texts[static_cast<std::size_t>(s.text)] : "");
        EXPECT_LE(static_cast<double>(s.y + s.height), height + 0.01);
      }
    }
  }
}

TEST_F(MemoryView, APointIsFound) {
  const MemoryState state;
  const MemoryData data = load(state);
  const MemoryFrame f = memory_frame(3, state.ranks, 1200, 700);
  const auto at = [&](double x, double y) { return hit_memory(data, state, 1200, 700, measure, x, y); };
  const MemoryHit panel = at(f.left + f.width * 0.275, f.area_top(0) + 20);  // 5.5 ms
  EXPECT_EQ(panel.part, MemoryHit::Part::kPanel);
  EXPECT_EQ(panel.rank, 2);
  EXPECT_NEAR(static_cast<double>(panel.time_ns), 5.5e6, 3e4);
  EXPECT_EQ(describe(data, panel),
            "rank 2, 5.50 ms: 44 MiB, over the limit of 40 MiB\nparameters: 8 MiB\ngradients: 12 MiB\n"
            "activations: 24 MiB");
  const MemoryHit heat = at(f.left + f.width * 0.275, f.heat_top + f.heat_height - 2);
  EXPECT_EQ(heat.part, MemoryHit::Part::kHeat);
  EXPECT_EQ(heat.rank, 2);
  EXPECT_THAT(describe(data, heat), HasSubstr("over the limit of"));
  const MemoryHit peak = at(f.side_left + 50, f.top + kPeakBarHeight + 3);
  EXPECT_EQ(peak.part, MemoryHit::Part::kPeak);
  EXPECT_EQ(peak.rank, 1);
  EXPECT_THAT(describe(data, peak), HasSubstr("predicted 38 MiB"));
  const MemoryHit legend = at(20, 695);
  EXPECT_EQ(legend.part, MemoryHit::Part::kLegend);
  EXPECT_EQ(legend.category, Category::kParameter);
  EXPECT_EQ(at(2, 2).part, MemoryHit::Part::kNothing);
  EXPECT_EQ(describe(data, at(2, 2)), "");
}

TEST_F(MemoryView, EmptyStatesSayWhatIsThere) {
  MemoryState nvme;
  nvme.space = Space::kNvme;
  EXPECT_THAT(draw(nvme).texts, Contains(HasSubstr("holds anything in NVMe memory. There is: device, host.")));
  change("DELETE FROM memory_peak; DELETE FROM memory_chunk; DELETE FROM memory_level");
  EXPECT_THAT(draw({}).texts, Contains(HasSubstr("no memory rows")));
  const MemoryData none = load({});
  EXPECT_EQ(hit_memory(none, {}, 1200, 700, measure, 600, 300).part, MemoryHit::Part::kNothing);
}

TEST_F(MemoryView, PeaksAloneStillMakeAPicture) {
  change("DELETE FROM memory_chunk; DELETE FROM memory_level; DELETE FROM step");
  const Picture picture = draw({});
  EXPECT_THAT(picture.texts, Contains("rank 2"));
  EXPECT_GE(fills(picture, kVermilion), 3U);
}

TEST_F(MemoryView, HugeNumbersStayInThePicture) {
  change(
      "UPDATE run SET device_memory_limit = 9223372036854775807; UPDATE memory_peak SET at_peak_bytes = "
      "1152921504606846 WHERE rank = 0");
  EXPECT_THAT(draw({}).texts, Contains(HasSubstr("↑"))) << "a limit far above is named, not drawn";
}

TEST_F(MemoryView, TenThousandRanksMakeOnePicture) {
  MemoryData data;
  for (int rank = 0; rank < 10'000; ++rank) {
    data.ranks.push_back(rank);
    data.peaks.push_back({rank, 1000, 0, {}, {}});
    data.overview.highest.emplace_back(100, rank == 5000 ? 2000 : 500);
  }
  data.overview.ranks = data.ranks;
  data.extent = data.window = data.overview.window = {0, 1000};
  data.overview.column_ns = 10;
  data.limit_bytes = 1500;
  const Picture picture = draw_memory(data, {}, {}, 1200, 700, measure);
  EXPECT_GE(fills(picture, kVermilion), 1U) << "one rank over the limit is seen among all";
  EXPECT_LT(picture.shapes.size(), 5000U);
}

TEST(ColourMap, GetsLighterAllTheWay) {
  double before = 0;
  for (int i = 0; i <= 20; ++i) {
    const double now = contrast_ratio(cividis(i / 20.0), {0, 0, 0});
    EXPECT_GT(now, before);
    before = now;
  }
  EXPECT_EQ(cividis(-1), cividis(0));
  EXPECT_EQ(cividis(7), cividis(1));
  EXPECT_EQ(cividis(std::nan("")), cividis(0));
}

TEST(MemoryLooks, MarksCanBeRead) {
  for (const MemoryLook& look : kMemoryLooks)
    EXPECT_GE(contrast_ratio(text_colour_on(look.colour), look.colour), 4.5) << look.name;
}

}  // namespace
}  // namespace shardscope::gui
