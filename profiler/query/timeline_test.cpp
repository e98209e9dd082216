// The timeline of test_profile.h's steps: two ranks, rank 1 twice as slow, four lanes each.

#include "profiler/query/timeline.h"

#include <gmock/gmock.h>

#include "core/error.h"
#include "profiler/query/area_summary.h"
#include "profiler/store/open_store.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using testing::TempFolder;

class TimelineQuery : public ::testing::Test {
 protected:
  explicit TimelineQuery(int steps = 300) : path_(folder_.file("run.db")) {
    testing::record_tiny_profile(path_, "run", steps);
  }
  TempFolder folder_;
  std::string path_;
};

std::int64_t busy(const TrackView& view) {
  std::int64_t sum = 0;
  for (const LevelEntry& e : view.buckets) sum += e.busy_ns;
  return sum;
}

TEST_F(TimelineQuery, TracksAreOrderedByRankAndLane) {
  const Profile profile(path_);
  const Timeline timeline(profile, 1);
  std::vector<std::string> names;
  for (const TimelineTrack& t : timeline.tracks()) names.push_back(std::to_string(t.rank) + " " + t.lane);
  EXPECT_THAT(names, ::testing::ElementsAre("0 compute", "0 gather", "0 reduce", "0 h2d", "1 compute", "1 gather",
                                            "1 reduce", "1 h2d"));
  EXPECT_EQ(timeline.tracks()[0].slices, 900);
  EXPECT_EQ(timeline.extent(), (TimeWindow{0, 600'000'000}));
}

TEST_F(TimelineQuery, AWholeRunIsBucketsNoFinerThanAPixel) {
  const Profile profile(path_);
  const Timeline timeline(profile, 1);
  for (int pixels : {10, 50, 100}) {
    const TrackView view = timeline.look(timeline.tracks()[0], timeline.extent(), pixels);
    ASSERT_GT(view.bucket_ns, 0);
    EXPECT_TRUE(view.spans.empty());
    EXPECT_LE(view.bucket_ns, timeline.extent().length() / pixels);
    EXPECT_GT(view.bucket_ns * 5, timeline.extent().length() / pixels) << "and not much finer: few rows are read";
    EXPECT_EQ(busy(view), 300 * 600'000);
  }
}

TEST_F(TimelineQuery, AShortWindowIsSpans) {
  const Profile profile(path_);
  const Timeline timeline(profile, 1);
  const TrackView view = timeline.look(timeline.tracks()[1], {2'000'000, 4'000'000}, 500);
  EXPECT_EQ(view.bucket_ns, 0);
  ASSERT_EQ(view.spans.size(), 2U);
  EXPECT_EQ(view.spans[0], (Span{2'300'000, 2'500'000, 50'000, testing::kGatherOp.index, 2}));
  EXPECT_EQ(timeline.op(timeline.tracks()[1], view.spans[0].op).kind, "all_gather");
  EXPECT_TRUE(timeline.look(timeline.tracks()[1], {4'000'000, 4'000'000}, 500).spans.empty());
  EXPECT_TRUE(timeline.look(timeline.tracks()[1], {900'000'000, 999'000'000}, 500).spans.empty());
}

TEST_F(TimelineQuery, WithoutLevelsTheyAreMadeInMemory) {
  std::vector<TrackView> stored;
  const TimeWindow window{100'000'000, 200'000'000};
  {
    const Profile profile(path_);
    const Timeline timeline(profile, 1);
    for (const TimelineTrack& t : timeline.tracks()) stored.push_back(timeline.look(t, window, 20));
  }
  testing::make_older(path_, 1);
  const Profile profile(path_);
  const Timeline timeline(profile, 1);
  for (std::size_t i = 0; i < stored.size(); ++i) {
    const TrackView view = timeline.look(timeline.tracks()[i], window, 20);
    EXPECT_EQ(view.bucket_ns, stored[i].bucket_ns);
    EXPECT_EQ(view.buckets, stored[i].buckets);
    EXPECT_EQ(view.spans, stored[i].spans);
  }
  EXPECT_GT(stored[0].bucket_ns, 0);
}

TEST_F(TimelineQuery, BandsAreStepsPhasesAndMicroBatches) {
  const Profile profile(path_);
  const Timeline timeline(profile, 1);
  const std::vector<Band> steps = timeline.steps(1);
  ASSERT_EQ(steps.size(), 300U);
  EXPECT_EQ(steps[1].name, "step 1");
  EXPECT_EQ(steps[1].time, (TimeWindow{2'000'000, 4'000'000}));
  const std::vector<Span> spans = timeline.spans(timeline.tracks()[0], {0, 2'000'000});
  const std::vector<Band> phases = timeline.phases(timeline.tracks()[0], spans);
  ASSERT_EQ(phases.size(), 6U);
  EXPECT_EQ(phases[1].name, "forward");
  EXPECT_EQ(phases[1].time, (TimeWindow{100'000, 400'000}));
  EXPECT_EQ(timeline.micro_batches(timeline.tracks()[0], spans).size(), 2U)
      << "one a step: all ops are of micro-batch 0";
}

TEST_F(TimelineQuery, ACollectiveIsTiedToTheSameOnOtherRanks) {
  const Profile profile(path_);
  const Timeline timeline(profile, 1);
  const Span gather =
      timeline.spans(timeline.tracks()[1], {0, 1'000'000}).at(0);  // step 0: 300..500 us, rank 1 600..1000
  EXPECT_TRUE(timeline.tied(1, gather).empty()) << "not at the same time";
  Span longer = gather;
  longer.end_ns = 700'000;
  const std::vector<TiedSpan> tied = timeline.tied(1, longer);
  ASSERT_EQ(tied.size(), 1U);
  EXPECT_EQ(timeline.tracks()[tied[0].track].rank, 1);
  EXPECT_TRUE(timeline.tied(0, timeline.spans(timeline.tracks()[0], {0, 1'000'000}).at(0)).empty()) << "no collective";
}

/// Against a sum over all executions, of two ranks.
void expect_exact(const Timeline& timeline, TimeWindow area) {
  const std::vector<AreaRow> rows = area_summary(timeline, area, {0, 7});
  ASSERT_EQ(rows.size(), 2U);
  for (const AreaRow& row : rows) {
    std::array<std::int64_t, kWorkClasses> expected{};
    for (const TimelineTrack& track : timeline.tracks()) {
      if (track.rank != row.rank) continue;
      for (const Span& s : timeline.spans(track, area)) {
        const auto inside = [&](std::int64_t begin, std::int64_t end) {
          return std::max<std::int64_t>(0, std::min(end, area.end_ns) - std::max(begin, area.begin_ns));
        };
        expected[static_cast<std::size_t>(WorkClass::kWait)] += inside(s.begin_ns, s.begin_ns + s.wait_ns);
        expected[static_cast<std::size_t>(timeline.op(track, s.op).work)] += inside(s.begin_ns + s.wait_ns, s.end_ns);
      }
    }
    EXPECT_EQ(row.busy_ns, expected) << row.rank << " " << area.begin_ns;
  }
}

TEST_F(TimelineQuery, AnAreaIsAddedUpExactly) {
  const Profile profile(path_);
  const Timeline timeline(profile, 1);
  for (const TimeWindow area : {TimeWindow{0, 300'000'000}, TimeWindow{1'234'567, 250'777'777},
                                TimeWindow{150'000, 350'000}, TimeWindow{5, 6}, TimeWindow{590'000'000, 999'000'000}}) {
    expect_exact(timeline, area);
  }
  EXPECT_EQ(area_summary(timeline, {0, 1000}, {1, 1}).size(), 1U);
}

TEST_F(TimelineQuery, AnAreaOfLongLanesIsAddedUpFromLevelsAndItsEdges) {
  const testing::TempFolder folder;
  testing::record_tiny_profile(folder.file("long.db"), "long", 3000);
  const Profile profile(folder.file("long.db"));
  const Timeline timeline(profile, 1);
  ASSERT_GT(timeline.tracks().front().slices, 4096);
  for (const TimeWindow area : {TimeWindow{0, 3'000'000'000}, TimeWindow{1'234'567, 2'250'777'777},
                                TimeWindow{150'000, 350'000}, TimeWindow{5'900'000'000, 9'990'000'000}}) {
    expect_exact(timeline, area);
  }
}

TEST_F(TimelineQuery, DamagedRowsAreOneError) {
  Connection(path_, Connection::Mode::kReadWrite).execute("UPDATE level_chunk SET data = '[[1,2]]'");
  const Profile profile(path_);
  const Timeline timeline(profile, 1);
  EXPECT_THROW(timeline.look(timeline.tracks()[0], timeline.extent(), 50), Error);
  EXPECT_TRUE(Timeline(profile, 99).tracks().empty());
}

}  // namespace
}  // namespace shardscope
