#include "profiler/store/memory_levels.h"

#include <gmock/gmock.h>

#include <random>

#include "core/error.h"
#include "profiler/store/profile.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using testing::TempFolder;

constexpr auto kParameter = Category::kParameter, kActivation = Category::kActivation;

LiveChange change(std::int64_t time_ns, Category category, std::int64_t bytes) {
  return {time_ns, bytes, 0, 0, category};
}

MemoryParts parts(std::int64_t parameter, std::int64_t activation) {
  MemoryParts p{};
  p[static_cast<std::size_t>(kParameter)] = parameter;
  p[static_cast<std::size_t>(kActivation)] = activation;
  return p;
}

SpaceLive random_memory(std::uint32_t seed, int changes) {
  std::mt19937 random(seed);
  SpaceLive memory;
  memory.base = parts(static_cast<std::int64_t>(random() % 2 * 1000), 0);
  std::int64_t at = static_cast<std::int64_t>(random() % 1000);
  for (int i = 0; i < changes; ++i) {
    memory.changes.push_back(change(at, static_cast<Category>(random() % kCategories), random() % 5000));
    at += random() % 8 == 0 ? static_cast<std::int64_t>(random() % 100'000) : static_cast<std::int64_t>(random() % 50);
  }
  return memory;
}

TEST(MemoryLevels, APeakWithinABucketIsKept) {
  SpaceLive memory;
  memory.base = parts(100, 0);
  memory.changes = {change(5, kActivation, 50), change(17, kActivation, 900), change(18, kActivation, 60)};
  EXPECT_THAT(thin(memory, 10), ::testing::ElementsAre(MemoryEntry{0, 100, 150, parts(100, 50)},
                                                       MemoryEntry{1, 150, 1000, parts(100, 900)},
                                                       MemoryEntry{2, 160, 160, parts(100, 60)}));
}

TEST(MemoryLevels, WhereNothingChangesOneEntryLasts) {
  SpaceLive memory;
  memory.changes = {change(40, kActivation, 7), change(95, kActivation, 3)};
  EXPECT_EQ(memory.start_ns(), 40) << "nothing is known of before";
  EXPECT_THAT(thin(memory, 10),
              ::testing::ElementsAre(MemoryEntry{4, 0, 7, parts(0, 7)}, MemoryEntry{5, 7, 7, parts(0, 7)},
                                     MemoryEntry{9, 3, 7, parts(0, 7)}, MemoryEntry{10, 3, 3, parts(0, 3)}));
  EXPECT_TRUE(thin({}, 10).empty());
}

/// What an entry says of a stretch of time, however entries are divided.
std::pair<std::int64_t, std::int64_t> range_over(const std::vector<MemoryEntry>& entries, std::int64_t first,
                                                 std::int64_t last) {
  std::pair<std::int64_t, std::int64_t> range{INT64_MAX, 0};
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::int64_t until = i + 1 < entries.size() ? entries[i + 1].bucket - 1 : INT64_MAX;
    if (entries[i].bucket > last || until < first) continue;
    range.first = std::min(range.first, entries[i].lowest);
    range.second = std::max(range.second, entries[i].highest);
  }
  return range;
}

TEST(MemoryLevels, CoarserEntriesHoldWhatTheFinerOnesHold) {
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    const SpaceLive memory = random_memory(seed, 1 + static_cast<int>(seed));
    std::vector<MemoryEntry> fine = thin(memory, bucket_ns(2));
    for (int level = 3; level < 10; ++level) {
      const std::vector<MemoryEntry> coarse = coarsen(fine), made = thin(memory, bucket_ns(level));
      const std::int64_t last = made.back().bucket;
      for (std::int64_t b = made.front().bucket; b <= last; ++b) {
        const auto range = range_over(coarse, b, b);
        ASSERT_EQ(range, range_over(made, b, b)) << "level " << level << " bucket " << b;
        if (b == last) continue;
        ASSERT_EQ(range, range_over(fine, 4 * b, 4 * b + 3)) << "level " << level << " bucket " << b;
      }
      for (const MemoryEntry& e : coarse) ASSERT_EQ(total(e.parts), e.highest);
      fine = coarse;
    }
  }
}

TEST(MemoryLevels, TextIsReadBackAndNothingElseIs) {
  const std::vector<MemoryEntry> entries = thin(random_memory(3, 300), 64);
  std::vector<MemoryEntry> back;
  ASSERT_TRUE(decode_totals(encode_totals(entries), back));
  ASSERT_TRUE(decode_parts(encode_parts(entries), back));
  EXPECT_EQ(back, entries);
  for (const char* text : {"", "[", "[[1,2]]", "[[1,3,2]]", "[[-1,0,0]]", "[[2,0,0],[1,0,0]]",
                           "[[0,0,99999999999999999999]]", "[[0,-5,3]]", "[[1,0,0]] "}) {
    back.clear();
    EXPECT_FALSE(decode_totals(text, back)) << text;
  }
  back = {MemoryEntry{0, 0, 5, {}}};
  EXPECT_FALSE(decode_parts("[]", back)) << "too few";
  EXPECT_FALSE(decode_parts("[[5,0,0,0,0,0,0,0,0],[5,0,0,0,0,0,0,0,0]]", back)) << "too many";
  EXPECT_FALSE(decode_parts("[[4,0,0,0,0,0,0,0,0]]", back)) << "they do not sum to the highest";
  EXPECT_FALSE(decode_parts("[[6,-1,0,0,0,0,0,0,0]]", back));
  EXPECT_TRUE(decode_parts("[[3,0,0,0,2,0,0,0,0]]", back));
}

TEST(MemoryLevels, LevelsFollowTheChangesWithinBounds) {
  const std::int64_t hour = 3'600'000'000'000;
  EXPECT_EQ(finest_memory_level(0, 0), 0);
  const auto buckets = [&](std::int64_t changes) { return hour / bucket_ns(finest_memory_level(changes, hour)); };
  EXPECT_GE(buckets(10), 512);
  EXPECT_LT(buckets(10), 4 * 512);
  EXPECT_GE(buckets(16'000'000), 1'000'000);
  EXPECT_LT(buckets(16'000'000), 4'000'000);
  EXPECT_GE(hour / bucket_ns(coarsest_memory_level(hour)), 64);
  EXPECT_LE(coarsest_memory_level(INT64_MAX / 4), kMaxLevel);
}

TEST(MemoryLevels, AreWrittenWhenARunEnds) {
  const TempFolder folder;
  testing::record_tiny_profile(folder.file("run.db"), "run", 50);
  const Profile profile(folder.file("run.db"));
  Rows rows = profile.rows(
      "SELECT DISTINCT (SELECT max(json_extract(j.value, '$[2]')) FROM memory_level l JOIN json_each(l.totals) j WHERE "
      "l.rank = m.rank AND l.level = m.level) FROM memory_level m WHERE m.run = 1 AND space = 'device'");
  ASSERT_TRUE(rows.next());
  EXPECT_EQ(rows.integer(0), 6000 + 4096 + 8192) << "until activations go, the bucket of the step before is there";
  EXPECT_FALSE(rows.next()) << "on every rank and level the same";
}

TEST(MemoryLevels, WhatWasThereBeforeTheFirstStepIsRecorded) {
  const TempFolder folder;
  {
    ProfileWriter writer(folder.file("run.db"), testing::tiny_run("run"));
    Program program = testing::tiny_program(0, 2);
    program.buffers[1].persistent = true;  // "a", a parameter
    RankTrace* trace = writer.open_rank(0, program);
    trace->memory({testing::kAllocOp, 0, 70, Space::kDevice, kActivation, 64});
    trace->finish({}, 0);
  }
  const Profile profile(folder.file("run.db"));
  const RankLive live = load_rank_live(profile.handle(), profile.path(), 1, 0);
  EXPECT_EQ(live[0].base, parts(4096, 0));
  EXPECT_EQ(live[0].start_ns(), 0);
  ASSERT_EQ(live[0].changes.size(), 1U);
  EXPECT_TRUE(live[1].empty());
}

TEST(MemoryLevels, DamagedSamplesAreAnError) {
  const TempFolder folder;
  testing::record_tiny_profile(folder.file("run.db"), "run");
  for (const char* data : {"[[0,0,0,0,0,-1]]", "[[0,0,0,0,0,9223372036854775807]]", "[[0,0,0,9,0,1]]", "x"}) {
    Connection db(folder.file("run.db"), Connection::Mode::kReadWrite);
    Statement(db, "UPDATE memory_chunk SET data = ?").run(std::string(data));
    EXPECT_THROW(load_rank_live(db.handle(), "run.db", 1, 0), Error) << data;
  }
}

TEST(MemoryLevels, BuffersOfAllocsAreRecorded) {
  const TempFolder folder;
  testing::record_tiny_profile(folder.file("run.db"), "run");
  const Profile profile(folder.file("run.db"));
  Rows rows = profile.rows(
      "SELECT b.op, s.text, b.space, b.category, b.bytes FROM op_buffer b JOIN string s ON s.id = b.name WHERE "
      "b.program = 1");
  ASSERT_TRUE(rows.next());
  EXPECT_EQ(rows.integer(0), testing::kAllocOp.index);
  EXPECT_EQ(rows.text(1), "b");
  EXPECT_EQ(rows.text(3), "activation");
  EXPECT_EQ(rows.integer(4), 4096);
  EXPECT_FALSE(rows.next());
}

}  // namespace
}  // namespace shardscope
