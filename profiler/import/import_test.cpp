// The parts that importers share: the spool and its merge, steps of slices, levels of nested slices, the writer's
// bounds.

#include <gmock/gmock.h>

#include <random>

#include "profiler/import/slice_spool.h"
#include "profiler/import/step_finder.h"
#include "profiler/import/tally.h"
#include "profiler/import/test_import.h"
#include "profiler/query/timeline.h"
#include "profiler/store/level_builder.h"

namespace shardscope {
namespace {

using testing::rows_of;
using testing::TempFolder;

SliceEvent slice(std::int64_t start, std::int64_t duration, int op = 0, std::int64_t correlation = 0) {
  SliceEvent e;
  e.op = OpId{op};
  e.start_ns = start;
  e.duration_ns = duration;
  e.correlation = correlation;
  return e;
}

// ---------------------------------------------------------------- spool

void expect_merged(std::size_t count, std::uint64_t spread) {
  const TempFolder folder;
  SliceSpool spool(folder.file("run.db"));
  const std::size_t tracks[] = {spool.add_track(), spool.add_track(), spool.add_track()};
  std::mt19937_64 random(count);
  std::vector<SliceEvent> all;
  for (std::size_t i = 0; i < count; ++i) {
    all.push_back(slice(static_cast<std::int64_t>(10 * i + random() % spread) - 5'000,
                        static_cast<std::int64_t>(random() % 3), static_cast<int>(i % 1000),
                        static_cast<std::int64_t>(i)));
    spool.add(tracks[i % 2], all.back());
  }
  spool.flush();
  std::sort(all.begin(), all.end(), [](const SliceEvent& a, const SliceEvent& b) {
    return std::tuple(a.start_ns, -a.duration_ns, a.correlation) <
           std::tuple(b.start_ns, -b.duration_ns, b.correlation);
  });
  SliceMerge merge(spool, tracks);
  SliceEvent before = slice(INT64_MIN, 0), next;
  std::size_t read = 0;
  std::int64_t sum = 0, expected_sum = 0;
  for (const SliceEvent& e : all) expected_sum += e.correlation * (e.start_ns % 1000);
  for (; merge.next(next); ++read, before = next) {
    ASSERT_FALSE(comes_before(next, before)) << read;
    ASSERT_EQ(next.start_ns, all[read].start_ns);
    sum += next.correlation * (next.start_ns % 1000);
  }
  EXPECT_EQ(read, count);
  EXPECT_EQ(sum, expected_sum);
}

TEST(SliceSpool, GivesEverythingBackInOrder) {
  expect_merged(10, 5);
  expect_merged(50'000, 100'000);
}

TEST(SliceSpool, AnyOrderNeedsNoMoreThanSomeOpenBlocks) { expect_merged(3'000'000, 30'000'000); }

TEST(SliceSpool, SaysWhenItCannotBeMade) { EXPECT_THROW(SliceSpool("/nonexistent/run.db"), Error); }

// ---------------------------------------------------------------- steps

TEST(StepFinder, DeviceSlicesBelongToTheStepOfTheirLaunch) {
  StepFinder finder({{4, 100, 100, 2}, {5, 200, 150, 2}, {4, 110, 10, 2}, {9, 0, 1000, 1}}, {});
  ASSERT_EQ(finder.steps().size(), 2U) << "of a lower kind, and shorter ones of the same number, do not count";
  EXPECT_EQ(finder.of_host(slice(50, 1, 0, 10)), -1);
  EXPECT_EQ(finder.of_host(slice(120, 1, 0, 11)), 4);
  EXPECT_EQ(finder.of_host(slice(130, 1, 0, 13)), 4);
  EXPECT_EQ(finder.of_host(slice(210, 1, 0, 14)), 5);
  finder.finish_host();
  EXPECT_EQ(finder.of_device(slice(300, 1, 0, 12)), 4);
  EXPECT_EQ(finder.of_device(slice(150, 1, 0, 14)), 5);
  EXPECT_EQ(finder.of_device(slice(150, 1, 0, 10)), -1);
  EXPECT_EQ(finder.of_device(slice(150, 1, 0, 15)), -1);
  EXPECT_EQ(finder.of_device(slice(150, 1)), 4) << "without a correlation its time decides";
}

// ---------------------------------------------------------------- counts

TEST(Correlations, LaunchesAndKernelsInAnyOrder) {
  Correlations c;
  c.launch(5);
  c.kernel(5);
  c.kernel(5);  // of a graph
  c.kernel(1'000'000);
  c.kernel(1'000'000);
  c.kernel(7);
  c.kernel(0);
  EXPECT_EQ(c.kernels_with_launch(), 2);
  c.launch(1'000'000);
  c.launch(1'000'000);
  EXPECT_EQ(c.kernels_with_launch(), 4);
  EXPECT_TRUE(c.complete());
}

// ---------------------------------------------------------------- levels

TEST(LevelBuilder, AgreesWithAddingUpWhereNothingOverlaps) {
  std::mt19937 random(4);
  const std::vector<WorkClass> classes = {WorkClass::kCompute, WorkClass::kCommunication, WorkClass::kCompute};
  for (int round = 0; round < 50; ++round) {
    std::vector<SliceEvent> slices;
    std::int64_t at = 0;
    for (int i = 0; i < 300; ++i) {
      at += static_cast<std::int64_t>(random() % 50);
      slices.push_back(slice(at, static_cast<std::int64_t>(random() % 200), static_cast<int>(random() % 3)));
      slices.back().wait_ns = static_cast<std::int64_t>(random() % 20);
      at += slices.back().duration_ns;
    }
    std::map<int, std::vector<LevelEntry>> built;
    LevelBuilder builder(2, 6, classes, [&](int level, std::span<const LevelEntry> entries) {
      built[level].insert(built[level].end(), entries.begin(), entries.end());
    });
    for (const SliceEvent& s : slices) builder.add(s);
    builder.finish();
    std::vector<LevelEntry> expected = add_up(slices, 2, classes);
    for (int level = 2; level <= 6; ++level, expected = coarsen(expected)) ASSERT_EQ(built[level], expected) << level;
  }
}

TEST(LevelBuilder, TimeBelongsToTheInnermost) {
  const std::vector<WorkClass> classes = {WorkClass::kHostApi, WorkClass::kOther};
  std::vector<LevelEntry> entries;
  LevelBuilder builder(10, 10, classes,
                       [&](int, std::span<const LevelEntry> e) { entries.assign(e.begin(), e.end()); });
  builder.add(slice(0, 100, 0));
  builder.add(slice(10, 30, 1));
  builder.add(slice(20, 5, 0));
  builder.add(slice(35, 20, 1));  // overlaps, not nested
  builder.finish();
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0], (LevelEntry{0, WorkClass::kHostApi, 60, 0, 60}));
  EXPECT_EQ(entries[1], (LevelEntry{0, WorkClass::kOther, 40, 1, 40}));
}

// ---------------------------------------------------------------- writer

TEST(ImportWriter, WhatIsTooMuchIsCounted) {
  const TempFolder folder;
  ImportWriter writer(folder.file("run.db"), "many");
  const int rank = writer.add_rank({.file = "a", .format = "test"});
  const int track = writer.track(rank, "thread 1\n\xff", TrackKind::kHost);
  for (int i = 0; i < 160'000; ++i) {
    const std::string name = "op " + std::to_string(i);
    writer.slice(rank, track, {writer.op(rank, {.kind = "cpu_op", .name = name, .lane = kHostApiLane}), i, 1});
  }
  EXPECT_FALSE(writer.slice(rank, track, {0, 5, -1}));
  EXPECT_FALSE(writer.slice(rank, track, {0, INT64_MAX - 3, 10}));
  writer.finish(ImportStatus::kComplete);
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile, "SELECT count(*) FROM slice"), "160000\n");
  EXPECT_EQ(rows_of(profile, "SELECT count(*) FROM op"), "150001\n");
  EXPECT_EQ(rows_of(profile, "SELECT kind, count FROM diagnostic ORDER BY kind"), "invalid_time|2\nmany_ops|10000\n");
  EXPECT_EQ(rows_of(profile, "SELECT DISTINCT lane FROM track"), "thread 1??\n");
}

TEST(ImportWriter, AddsToAProfileThatHasRuns) {
  const TempFolder folder;
  testing::record_tiny_profile(folder.file("run.db"), "own");
  ImportWriter writer(folder.file("run.db"), "foreign");
  const int rank = writer.add_rank({.file = "a", .format = "test"});
  const int track = writer.track(rank, "gpu0 stream 7", TrackKind::kDevice);
  const std::int32_t op = writer.op(rank, {.kind = "kernel", .name = "k", .lane = "compute"});
  for (int i = 0; i < 1000; ++i) writer.slice(rank, track, {op, 1'000'000 + 100 * i, 50});
  writer.finish(ImportStatus::kComplete);
  const Profile profile(folder.file("run.db"));
  EXPECT_EQ(rows_of(profile, "SELECT id, name FROM run"), "1|own\n2|foreign\n");
  const Timeline timeline(profile, 2);
  ASSERT_EQ(timeline.tracks().size(), 1U);
  const TrackView view = timeline.look(timeline.tracks()[0], {0, 100'000}, 30);
  EXPECT_GT(view.bucket_ns, 0);
  EXPECT_EQ(view.buckets.front().work, WorkClass::kCompute);
  EXPECT_EQ(timeline.spans(timeline.tracks()[0], {0, 1000}).size(), 10U);
}

}  // namespace
}  // namespace shardscope
