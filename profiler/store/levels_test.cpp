#include "profiler/store/levels.h"

#include <gmock/gmock.h>

#include <random>

#include "profiler/store/open_store.h"
#include "profiler/store/profile.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::TempFolder;

const std::vector<WorkClass> kClasses = {WorkClass::kForward, WorkClass::kBackward, WorkClass::kCommunication};

SliceEvent slice(int op, std::int64_t start, std::int64_t duration, std::int64_t wait = 0) {
  return {OpId{op}, 0, Lane::kCompute, start, duration, wait};
}

TEST(Levels, ASliceIsDividedAmongItsBucketsAndItsWaitKeptApart) {
  const std::vector<SliceEvent> slices = {slice(0, 2, 4), slice(2, 6, 8, 3)};
  EXPECT_THAT(add_up(slices, 1, kClasses),  // buckets of 4 ns
              ElementsAre(LevelEntry{0, WorkClass::kForward, 2, 0, 2}, LevelEntry{1, WorkClass::kForward, 2, 0, 2},
                          LevelEntry{1, WorkClass::kWait, 2, 2, 2}, LevelEntry{2, WorkClass::kCommunication, 3, 2, 3},
                          LevelEntry{2, WorkClass::kWait, 1, 2, 1}, LevelEntry{3, WorkClass::kCommunication, 2, 2, 2}));
}

TEST(Levels, AnEntryNamesTheOpThatTookLongest) {
  const std::vector<WorkClass> forward(3, WorkClass::kForward);
  const std::vector<SliceEvent> slices = {slice(0, 0, 3), slice(1, 3, 5), slice(0, 8, 3), slice(2, 11, 4),
                                          slice(9, 0, 9)};
  EXPECT_THAT(add_up(slices, 2, forward), ElementsAre(LevelEntry{0, WorkClass::kForward, 15, 0, 6}));
  EXPECT_THAT(add_up({}, 2, forward), IsEmpty());
}

TEST(Levels, EachLevelHoldsTheTimeOfTheOneBelow) {
  std::mt19937 random(1);
  std::vector<SliceEvent> slices;
  std::int64_t at = 0, total = 0;
  for (int i = 0; i < 5000; ++i) {
    at += random() % 50;
    const auto duration = static_cast<std::int64_t>(random() % 200);
    slices.push_back(slice(static_cast<int>(random() % 3), at, duration, duration / 3));
    at += duration;
    total += duration;
  }
  std::vector<LevelEntry> entries = add_up(slices, 2, kClasses);
  for (int level = 2; level < 12; ++level, entries = coarsen(entries)) {
    std::int64_t sum = 0;
    for (const LevelEntry& e : entries) {
      sum += e.busy_ns;
      EXPECT_LE(e.busy_ns, bucket_ns(level));
      EXPECT_LE(e.op_ns, e.busy_ns);
    }
    EXPECT_EQ(sum, total) << level;
    const std::vector<LevelEntry> direct = add_up(slices, level, kClasses);
    ASSERT_EQ(direct.size(), entries.size()) << level;
    for (std::size_t i = 0; i < direct.size(); ++i) EXPECT_EQ(direct[i].busy_ns, entries[i].busy_ns);
  }
}

TEST(Levels, TextIsReadBackAndOtherTextRefused) {
  const std::vector<LevelEntry> entries = {{0, WorkClass::kLoad, 5, 1, 4}, {7, WorkClass::kOffload, 9, 0, 9}};
  std::vector<LevelEntry> back;
  EXPECT_TRUE(decode_levels(pack(std::span<const LevelEntry>(entries)), back));
  EXPECT_EQ(back, entries);
  for (const char* text : {"", "[", "[[1,2]]", "[[0,11,1,0,1]]", "[[0,0,0,0,0]]", "[[-1,0,1,0,1]]", "[[0,0,1,0,2]]",
                           "[[0,0,1,0,1]] ", "[[0,0,1,-1,1]]", "[[0,0,99999999999999999999,0,1]]"}) {
    EXPECT_FALSE(decode_levels(text, back)) << text;
  }
}

TEST(Levels, AreChosenByDensityAndEnd) {
  EXPECT_EQ(finest_level(4000, 1000 * 256), 4);  // four slices in 256 ns
  EXPECT_EQ(finest_level(1, 0), 0);
  EXPECT_EQ(coarsest_level(16 * 1024), 5);
  EXPECT_EQ(coarsest_level(0), 0);
  EXPECT_LE(finest_level(1, INT64_MAX), kMaxLevel);
}

/// Two ranks, 300 steps: lanes of 300 and, for compute, 900 slices.
TEST(Levels, AreWrittenWhenARunEnds) {
  const TempFolder folder;
  testing::record_tiny_profile(folder.file("run.db"), "run", 300);
  const Profile profile(folder.file("run.db"));
  std::map<std::int64_t, std::int64_t> busy_ns;
  Rows chunks = profile.rows(
      "SELECT l.level, l.data, l.entries FROM level_chunk l JOIN track t ON t.id = l.track WHERE t.rank = 0 AND "
      "t.lane = 'compute'");
  while (chunks.next()) {
    std::vector<LevelEntry> entries;
    EXPECT_TRUE(decode_levels(chunks.bytes(1), entries));
    EXPECT_EQ(static_cast<std::int64_t>(entries.size()), chunks.integer(2));
    for (const LevelEntry& entry : entries) busy_ns[chunks.integer(0)] += entry.busy_ns;
  }
  EXPECT_GE(busy_ns.size(), 2U);
  for (const auto& [level, busy] : busy_ns)
    EXPECT_EQ(busy, 300 * 600'000) << "load 100, matmul 300, adam 200 units of 1000 ns; level " << level;
}

TEST(Levels, AFileOfTheVersionBeforeIsReadAndMigratedWhenRecordedInto) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  testing::record_tiny_profile(path, "old");
  testing::make_older(path, 1);
  EXPECT_EQ(Profile(path).schema_version(), 1);
  testing::record_tiny_profile(path, "new");
  const Profile profile(path);
  EXPECT_EQ(profile.schema_version(), kSchemaVersion);
  Rows doc = profile.rows("SELECT count(*) FROM schema_doc WHERE name = 'level_chunk'");
  ASSERT_TRUE(doc.next());
  EXPECT_EQ(doc.integer(0), 8);
}

}  // namespace
}  // namespace shardscope
