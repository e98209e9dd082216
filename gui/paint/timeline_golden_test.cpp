// The timeline, of the tiny run of the store's tests and of one with many ranks.

#include "gui/models/timeline_picture.h"
#include "gui/paint/golden_for_test.h"
#include "profiler/store/test_profile.h"

namespace shardscope::gui {
namespace {

Picture draw(const std::string& file, const TimelineState& state, bool dark, double width, double height) {
  const Profile profile(file);
  TimelineState shown = state;
  shown.dark = dark;
  return draw_timeline(Timeline(profile, 1), profile, 1, {"tiny", "measured, 2 ranks", false}, shown, width, height,
                       text_width());
}

TEST(TimelineGolden, WholeRunAsColumns) {
  const shardscope::testing::TempFolder folder;
  shardscope::testing::record_tiny_profile(folder.file("run.db"), "tiny", 300);
  testing::expect_golden("timeline-whole", [&](bool dark) { return draw(folder.file("run.db"), {}, dark, 900, 420); });
}

TEST(TimelineGolden, NearWithSelectionAreaAndNotes) {
  const shardscope::testing::TempFolder folder;
  shardscope::testing::record_tiny_profile(folder.file("run.db"), "tiny", 5);
  TimelineState state;
  state.window = {0, 2'200'000};
  state.pinned = {1};
  state.selection = TimelineSelection{0, "gather", 0, shardscope::testing::kGatherOp.index, 300'000};
  state.area = TimelineArea{{1'000'000, 1'600'000}, 0, 0};
  state.notes = {{1'850'000, -1, "the slow rank is still here"}, {700'000, 0, ""}};
  testing::expect_golden("timeline-near",
                         [&](bool dark) { return draw(folder.file("run.db"), state, dark, 900, 420); });
}

TEST(TimelineGolden, ManyRanksAsAMap) {
  constexpr int kRanks = 400;
  const shardscope::testing::TempFolder folder;
  ProfileWriter writer(folder.file("run.db"), shardscope::testing::tiny_run("many"));
  for (int rank = 0; rank < kRanks; ++rank) {
    RankTrace* trace = writer.open_rank(rank, shardscope::testing::tiny_program(rank % 2, 2));
    for (int step = 0; step < 3; ++step) shardscope::testing::trace_step(*trace, step, 1000 + 5 * (rank % 100));
    trace->finish({}, 0);
  }
  writer.finish();
  testing::expect_golden("timeline-many", [&](bool dark) { return draw(folder.file("run.db"), {}, dark, 900, 560); });
}

TEST(TimelineGolden, ARunWithoutSlices) {
  const shardscope::testing::TempFolder folder;
  ProfileWriter writer(folder.file("run.db"), shardscope::testing::tiny_run("empty"));
  writer.finish();
  testing::expect_golden("timeline-empty", [&](bool dark) { return draw(folder.file("run.db"), {}, dark, 600, 200); });
}

}  // namespace
}  // namespace shardscope::gui
