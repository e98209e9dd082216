#include "profiler/query/memory_timeline.h"

#include <gmock/gmock.h>

#include <random>

#include "core/error.h"
#include "profiler/query/live_allocations.h"
#include "profiler/store/sqlite.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using ::testing::HasSubstr;
using testing::TempFolder;

constexpr auto kDevice = Space::kDevice;
constexpr std::int64_t kMiB = 1 << 20;

std::int64_t part(const MemoryParts& parts, Category category) { return parts[static_cast<std::size_t>(category)]; }

/// Buffers of 1 MiB: "w" stays; "x" is taken by op 0 and given back by op 3, "y" by 1 and 2.
Program two_buffers() {
  Program p;
  const std::int64_t n = kMiB / 4;
  Buffer w{"w", DType::kF32, n, Category::kParameter};
  w.persistent = true;
  p.add_buffer(w);
  const BufferId x = p.add_buffer({"x", DType::kF32, n, Category::kActivation}),
                 y = p.add_buffer({"y", DType::kF32, n, Category::kActivation});
  const auto add = [&p](const Op& op, int layer, Phase phase) {
    p.instructions.push_back({op, Lane::kCompute, {phase, layer, 0, p.intern("h." + std::to_string(layer))}, {}});
  };
  add(Alloc{x}, 0, Phase::kForward);
  add(Alloc{y}, 1, Phase::kForward);
  add(Free{y}, 1, Phase::kBackward);
  add(Free{x}, 0, Phase::kBackward);
  return p;
}

constexpr std::int64_t kStep = 1'000'000;  // ns

/// Levels are four times apart; the coarsest has up to 256 buckets.
std::size_t most_stretches(int pixels) { return std::max<std::size_t>(4U * static_cast<std::size_t>(pixels), 256) + 4; }

/// Two steps; rank 1's y is there for one nanosecond only.
void record(const std::string& path, std::int64_t limit = 0) {
  RunInfo info = testing::tiny_run("run");
  info.device_memory_limit = limit;
  ProfileWriter writer(path, info);
  for (int rank = 0; rank < 2; ++rank) {
    Program program = two_buffers();
    RankTrace* trace = writer.open_rank(rank, program);
    for (int step = 0; step < 2; ++step) {
      const std::int64_t t = step * kStep, y_end = rank == 0 ? 600'000 : 400'001;
      const auto live = [&](int op, std::int64_t at, std::int64_t bytes) {
        trace->memory({OpId{op}, step, t + at, kDevice, Category::kActivation, bytes});
      };
      live(0, 100'000, kMiB);
      live(1, 400'000, 2 * kMiB);
      live(2, y_end, kMiB);
      live(3, 900'000, 0);
      trace->step({step, t, kStep, 1, 1, 1e-3});
    }
    trace->finish(compute_memory_peak(program), 0);
  }
  writer.finish();
  ASSERT_EQ(writer.problem(), "");
}

class MemoryTimelineOf : public ::testing::Test {
 protected:
  MemoryTimelineOf() {
    record(folder_.file("run.db"), 5 * kMiB / 2);
    open();
  }
  void open() {
    memory_.reset();
    profile_ = std::make_unique<Profile>(folder_.file("run.db"));
    memory_ = std::make_unique<MemoryTimeline>(*profile_, load_memory_facts(*profile_, 1));
  }
  void change(const std::string& sql) {
    memory_.reset();
    profile_.reset();
    Connection(folder_.file("run.db"), Connection::Mode::kReadWrite).execute(sql);
    open();
  }
  /// Tables that files of version 2 do not have.
  void as_version_2() {
    memory_.reset();
    profile_.reset();
    testing::make_older(folder_.file("run.db"), 2);
    open();
  }
  TempFolder folder_;
  std::unique_ptr<Profile> profile_;
  std::unique_ptr<MemoryTimeline> memory_;
};

TEST_F(MemoryTimelineOf, FactsSayWhoHoldsWhatAndHowMuchIsAllowed) {
  const MemoryFacts& facts = memory_->facts();
  EXPECT_THAT(facts.ranks(), ::testing::ElementsAre(0, 1));
  EXPECT_TRUE(facts.of(Space::kHost).empty());
  EXPECT_EQ(facts.limit_bytes, 5 * kMiB / 2);
  EXPECT_EQ(facts.extent, (TimeWindow{0, 2 * kStep}));
  const RankSpace* rank = facts.find(kDevice, 1);
  ASSERT_NE(rank, nullptr);
  EXPECT_EQ(rank->peak_bytes, 3 * kMiB);
  EXPECT_EQ(part(rank->at_peak, Category::kActivation), 2 * kMiB);
  EXPECT_EQ(facts.find(kDevice, 7), nullptr);
}

TEST_F(MemoryTimelineOf, AShortPeakIsInEveryPictureAndTheSumsFit) {
  for (const int pixels : {1, 2, 7, 100, 5000}) {
    for (const TimeWindow window :
         {TimeWindow{0, 2 * kStep}, TimeWindow{300'000, 450'000}, TimeWindow{399'900, 400'100}}) {
      SCOPED_TRACE(::testing::Message() << pixels << " " << window.begin_ns);
      const std::vector<MemoryStretch> seen = memory_->look(1, kDevice, window, pixels);
      ASSERT_FALSE(seen.empty());
      EXPECT_LE(seen.size(), most_stretches(pixels));
      EXPECT_EQ(seen.front().time.begin_ns, window.begin_ns);
      EXPECT_EQ(seen.back().time.end_ns, window.end_ns);
      std::int64_t highest = 0, at = window.begin_ns;
      for (const MemoryStretch& s : seen) {
        EXPECT_EQ(s.time.begin_ns, at) << "contiguous";
        at = s.time.end_ns;
        EXPECT_EQ(total(s.parts), s.highest);
        EXPECT_LE(s.lowest, s.highest);
        highest = std::max(highest, s.highest);
      }
      EXPECT_EQ(highest, 3 * kMiB);
    }
  }
  EXPECT_EQ(memory_->look(1, kDevice, {500'000, 800'000}, 10).front().highest, 2 * kMiB) << "what came before lasts";
  EXPECT_TRUE(memory_->look(1, Space::kNvme, {0, kStep}, 10).empty());
  EXPECT_TRUE(memory_->look(5, kDevice, {0, kStep}, 10).empty());
}

TEST_F(MemoryTimelineOf, TheOverviewHasTheHighestOfEachColumn) {
  const MemoryOverview overview = memory_->overview(kDevice, {0, 2 * kStep}, 20);
  EXPECT_EQ(overview.ranks, (std::vector<int>{0, 1}));
  EXPECT_EQ(overview.column_ns, 100'000);
  for (const auto& row : overview.highest) {
    ASSERT_EQ(row.size(), 20U);
    EXPECT_EQ(row[4], 3 * kMiB);
    EXPECT_EQ(row[14], 3 * kMiB);
    EXPECT_EQ(row[9], 2 * kMiB);
  }
  EXPECT_EQ(overview.highest[1][8], 2 * kMiB) << "rank 1's second buffer is gone";
  EXPECT_TRUE(memory_->overview(Space::kPinned, {0, kStep}, 20).ranks.empty());
}

TEST_F(MemoryTimelineOf, TheFirstInstantAboveALimitHasItsOp) {
  const auto over = memory_->first_above(0, kDevice, 5 * kMiB / 2);
  ASSERT_TRUE(over);
  EXPECT_EQ(over->time_ns, 400'000);
  EXPECT_EQ(over->op, 1);
  EXPECT_EQ(over->step, 0);
  EXPECT_EQ(over->total_bytes, 3 * kMiB);
  EXPECT_EQ(describe_op(*memory_, 0, over->op), "forward, layer 1, h.1");
  EXPECT_FALSE(memory_->first_above(0, kDevice, 3 * kMiB)) << "equal is not above";
  EXPECT_EQ(memory_->first_above(0, kDevice, kMiB / 2)->op, -1) << "the weights alone";
}

TEST_F(MemoryTimelineOf, WhatIsLiveSumsUpAndHasItsOp) {
  const LiveAllocations live = live_allocations(*memory_, 0, kDevice, kStep + 500'000);
  EXPECT_FALSE(live.matched);
  EXPECT_EQ(live.instant.total_bytes, 3 * kMiB);
  ASSERT_EQ(live.rows.size(), 3U);
  EXPECT_EQ(live.rows[0].op, -1);
  EXPECT_EQ(live.rows[0].category, Category::kParameter);
  EXPECT_EQ(live.rows[1].buffer, "x");
  EXPECT_EQ(live.rows[1].since_ns, kStep + 100'000);
  EXPECT_EQ(live.rows[2].buffer, "y");
  EXPECT_EQ(live.rows[2].module, "h.1");
  EXPECT_EQ(live.rows[2].phase, "forward");
  EXPECT_EQ(live_allocations(*memory_, 0, kDevice, 950'000).rows.size(), 1U) << "all given back";
  EXPECT_EQ(live_allocations(*memory_, 0, kDevice, 0).instant.total_bytes, kMiB);
  EXPECT_TRUE(live_allocations(*memory_, 9, kDevice, 0).rows.empty());
}

TEST_F(MemoryTimelineOf, AnOlderFileShowsTheSame) {
  const auto whole = [&] { return memory_->look(1, kDevice, {0, 2 * kStep}, 100); };
  const std::vector<MemoryStretch> before = whole();
  const MemoryOverview overview = memory_->overview(kDevice, {0, 2 * kStep}, 20);
  as_version_2();
  const std::vector<MemoryStretch> after = whole();
  ASSERT_EQ(before.size(), after.size());
  for (std::size_t i = 0; i < after.size(); ++i) EXPECT_EQ(before[i].highest, after[i].highest);
  EXPECT_EQ(memory_->overview(kDevice, {0, 2 * kStep}, 20).highest, overview.highest);
  const LiveAllocations live = live_allocations(*memory_, 0, kDevice, 500'000);
  EXPECT_TRUE(live.matched);
  ASSERT_EQ(live.rows.size(), 3U);
  EXPECT_EQ(live.rows[2].op, 1);
  EXPECT_EQ(live.rows[2].module, "h.1");
}

TEST_F(MemoryTimelineOf, WithoutTheRowsOfTheStartPeaksTellWhatStays) {
  as_version_2();
  change("UPDATE memory_chunk SET data = replace(data, '[-1,0,0,0,0,1048576],', '')");
  EXPECT_EQ(memory_->look(0, kDevice, {0, kStep}, 1000).front().highest, kMiB);
}

TEST_F(MemoryTimelineOf, PeaksWithoutSamplesLastAllTheTime) {
  change("DELETE FROM memory_chunk; DELETE FROM memory_level");
  const std::vector<MemoryStretch> seen = memory_->look(0, kDevice, {0, kStep}, 100);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].highest, 3 * kMiB);
  EXPECT_EQ(memory_->overview(kDevice, {0, kStep}, 4).highest[0], std::vector<std::int64_t>(4, 3 * kMiB));
  EXPECT_EQ(live_allocations(*memory_, 0, kDevice, 5).rows.size(), 2U);
}

TEST_F(MemoryTimelineOf, SamplesWithoutPeaksHaveThem) {
  change("DELETE FROM memory_peak");
  ASSERT_NE(memory_->facts().find(kDevice, 0), nullptr);
  EXPECT_EQ(memory_->facts().find(kDevice, 0)->peak_bytes, 3 * kMiB);
}

TEST_F(MemoryTimelineOf, ARunWithoutMemoryIsEmpty) {
  change("DELETE FROM memory_peak; DELETE FROM memory_chunk; DELETE FROM memory_level; DELETE FROM step");
  EXPECT_TRUE(memory_->facts().ranks().empty());
  EXPECT_EQ(memory_->facts().extent.length(), 0);
  const auto none = load_memory_facts(*profile_, 99);
  EXPECT_TRUE(none->ranks().empty());
}

TEST_F(MemoryTimelineOf, DamageIsAnErrorThatNamesTheFile) {
  const auto error = [&](const std::string& sql) -> std::string {
    try {
      change(sql);
      memory_->look(0, kDevice, {0, 2 * kStep}, 50);
      memory_->overview(kDevice, {0, 2 * kStep}, 50);
      live_allocations(*memory_, 0, kDevice, 500'000);
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_THAT(error("UPDATE memory_level SET totals = '[[1,2]]'"), HasSubstr("run.db: damaged (memory_level"));
  EXPECT_THAT(error("UPDATE memory_level SET totals = '[[0,0,5]]', parts = '[[1,1,1,1,1,1,1,1,1]]'"),
              HasSubstr("damaged"));
  EXPECT_THAT(error("UPDATE memory_level SET level = 99"), HasSubstr("damaged"));
  EXPECT_THAT(error("UPDATE memory_level SET space = 'attic'"), HasSubstr("damaged"));
  EXPECT_THAT(error("UPDATE memory_level SET start_ns = 'x'"), HasSubstr("run.db: "));
  EXPECT_THAT(error("DELETE FROM memory_level; UPDATE memory_peak SET at_peak_bytes = 9223372036854775807"),
              HasSubstr("damaged"));
}

TEST_F(MemoryTimelineOf, HostileBuffersAndLevelsDoNoHarm) {
  change("UPDATE op_buffer SET bytes = 9223372036854775807; UPDATE op_buffer SET category = 'gold' WHERE op = 1");
  const LiveAllocations live = live_allocations(*memory_, 0, kDevice, 500'000);
  std::int64_t sum = 0;
  for (const LiveAllocation& a : live.rows) sum += a.bytes;
  EXPECT_EQ(sum, live.instant.total_bytes);
  change("UPDATE memory_level SET totals = '[]', parts = '[]'");
  EXPECT_TRUE(memory_->look(0, kDevice, {0, 2 * kStep}, 50).empty());
  change("UPDATE step SET start_ns = 9223372036854775807, dur_ns = 0");
  EXPECT_LE(memory_->facts().extent.end_ns, bucket_ns(kMaxLevel));
}

/// Any window and any number of pixels: the highest in the picture is the highest of the samples.
TEST(MemoryTimeline, LevelsAndSamplesAgree) {
  const TempFolder folder;
  std::mt19937 random(11);
  {
    ProfileWriter writer(folder.file("run.db"), testing::tiny_run("run"));
    RankTrace* trace = writer.open_rank(0, testing::tiny_program(0, 2));
    std::int64_t at = 0;
    for (int i = 0; i < 40'000; ++i, at += static_cast<std::int64_t>(random() % 2000))
      trace->memory({testing::kAllocOp, 0, at, kDevice, static_cast<Category>(random() % 3),
                     static_cast<std::int64_t>(random() % 100'000)});
    trace->finish({}, 0);
  }
  const Profile profile(folder.file("run.db"));
  const MemoryTimeline memory(profile, load_memory_facts(profile, 1));
  const SpaceLive& all = (*memory.live(0))[0];
  const std::int64_t end = all.changes.back().time_ns;
  for (int i = 0; i < 200; ++i) {
    const std::int64_t begin = static_cast<std::int64_t>(random()) % end,
                       length = 1 + static_cast<std::int64_t>(random()) % (i % 2 ? end : 5000);
    const int pixels = 1 + static_cast<int>(random() % 500);
    SCOPED_TRACE(::testing::Message() << begin << " " << length << " " << pixels);
    MemoryParts now{};
    std::int64_t highest = 0;
    for (const LiveChange& c : all.changes) {
      if (c.time_ns > begin) highest = std::max(highest, total(now));
      if (c.time_ns >= begin + length) break;
      now[static_cast<std::size_t>(c.category)] = c.live_bytes;
    }
    highest = std::max(highest, total(now));
    std::int64_t seen = 0;
    const std::vector<MemoryStretch> stretches = memory.look(0, kDevice, {begin, begin + length}, pixels);
    for (const MemoryStretch& s : stretches) seen = std::max(seen, s.highest);
    EXPECT_GE(seen, highest);
    EXPECT_LE(stretches.size(), most_stretches(pixels));
  }
}

}  // namespace
}  // namespace shardscope
