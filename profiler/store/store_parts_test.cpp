// The pieces of the store: division of a step, chunks, the queue between threads, program rows, the schema.

#include <gmock/gmock.h>

#include <charconv>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>
#include <thread>

#include "core/error.h"
#include "profiler/store/chunks.h"
#include "profiler/store/event_queue.h"
#include "profiler/store/int_rows.h"
#include "profiler/store/merge.h"
#include "profiler/store/open_store.h"
#include "profiler/store/profile.h"
#include "profiler/store/program_rows.h"
#include "profiler/store/schema.h"
#include "profiler/store/step_parts.h"
#include "profiler/store/test_profile.h"
#include "source_dir.h"

namespace shardscope {
namespace {

using testing::TempFolder;

std::int64_t part(const DividedStep& step, Activity activity) {
  return step.part_ns[static_cast<std::size_t>(activity)];
}
const auto ignore_exposed = [](std::int32_t, std::int64_t) {};

// ---------------------------------------------------------------- divide_step

TEST(DivideStep, ComputeHidesCommunicationWhichHidesOffload) {
  const std::vector<ActiveSlice> slices = {
      {1, Activity::kCompute, 0, 40}, {2, Activity::kCommunication, 20, 70}, {3, Activity::kOffload, 60, 90}};
  std::vector<std::pair<int, std::int64_t>> exposed;
  const DividedStep step =
      divide_step(slices, 0, 100, [&](std::int32_t op, std::int64_t ns) { exposed.emplace_back(op, ns); });
  EXPECT_EQ(part(step, Activity::kCompute), 40);
  EXPECT_EQ(part(step, Activity::kCommunication), 30);
  EXPECT_EQ(part(step, Activity::kOffload), 20);
  EXPECT_EQ(step.idle_ns, 10);
  EXPECT_EQ(step.communication_ns, 50);
  std::int64_t sum = 0;
  for (const auto& [op, ns] : exposed) {
    EXPECT_EQ(op, 2);
    sum += ns;
  }
  EXPECT_EQ(sum, 30);
}

TEST(DivideStep, CutsToTheWindowAndCountsOverlappingCommunicationOnce) {
  const std::vector<ActiveSlice> slices = {{1, Activity::kCommunication, -50, 60},
                                           {2, Activity::kCommunication, 30, 500},
                                           {3, Activity::kNone, 0, 100},
                                           {4, Activity::kCompute, 50, 50}};
  std::int64_t first = 0, second = 0;
  const DividedStep step =
      divide_step(slices, 0, 100, [&](std::int32_t op, std::int64_t ns) { (op == 1 ? first : second) += ns; });
  EXPECT_EQ(part(step, Activity::kCommunication), 100);
  EXPECT_EQ(step.communication_ns, 100);
  EXPECT_EQ(first, 60) << "the one that started first has the overlap";
  EXPECT_EQ(second, 40);
  EXPECT_EQ(divide_step({}, 5, 10, ignore_exposed).idle_ns, 10);
  EXPECT_EQ(divide_step(slices, 5, 0, ignore_exposed).idle_ns, 0);
}

TEST(DivideStep, AgreesWithCountingEveryNanosecond) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<ActiveSlice> slices;
    for (int i = 0; i < 12; ++i) {
      const std::int64_t begin = static_cast<std::int64_t>(random() % 120) - 10;
      slices.push_back(
          {i, static_cast<Activity>(random() % 6), begin, begin + static_cast<std::int64_t>(random() % 30)});
    }
    std::array<std::int64_t, kActivities + 1> counted{};
    for (std::int64_t t = 0; t < 100; ++t) {
      auto claim = Activity::kNone;
      for (const ActiveSlice& s : slices) {
        if (s.start_ns <= t && t < s.end_ns) claim = std::min(claim, s.activity);
      }
      ++counted[static_cast<std::size_t>(claim)];
    }
    const DividedStep step = divide_step(slices, 0, 100, ignore_exposed);
    for (std::size_t a = 0; a < kActivities; ++a) ASSERT_EQ(step.part_ns[a], counted[a]) << round;
    ASSERT_EQ(step.idle_ns, counted[kActivities]);
  }
}

// ---------------------------------------------------------------- rows of integers

TEST(IntRows, AnIntegerIsReadAsTheStandardReadsIt) {
  std::vector<std::string> texts = {"", "-", "0", "-0", "007", "12a", "a", "--1", "+1", " 1", "1 ", "99,", "-5]"};
  constexpr auto kMin = std::numeric_limits<std::int64_t>::min(), kMax = std::numeric_limits<std::int64_t>::max();
  for (std::int64_t v : {kMin, kMin + 1, kMax, kMax - 1, std::int64_t{999'999'999'999'999'999}}) {
    texts.push_back(std::to_string(v));
    texts.push_back(std::to_string(v) + ",");
    texts.push_back(std::to_string(v) + "0");
  }
  for (const char* text : {"9223372036854775808", "-9223372036854775809", "00000000000000000000000001"})
    texts.emplace_back(text);
  for (const std::string& text : texts) {
    std::int64_t value = 7, expected = 7;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, expected);
    const char* const at = read_integer(text.data(), end, value);
    EXPECT_EQ(at, error == std::errc() ? stop : nullptr) << text;
    EXPECT_EQ(value, expected) << text;
  }
}

// ---------------------------------------------------------------- chunks

TEST(Chunks, RoundTrip) {
  const std::vector<SliceEvent> slices = {{OpId{7}, 3, Lane::kCompute, 5'000'000'000, 12, 0},
                                          {OpId{8}, 3, Lane::kCompute, 5'000'000'100, 1'000'000'000'000, 5}};
  const EventChunk chunk = encode(std::span<const SliceEvent>(slices));
  EXPECT_EQ(chunk.data, "[[7,3,0,12,0],[8,3,100,1000000000000,5]]");
  EXPECT_EQ(chunk.start_ns, 5'000'000'000);
  EXPECT_EQ(chunk.end_ns, 1'005'000'000'100);
  std::vector<SliceEvent> read;
  EXPECT_TRUE(decode_slices(chunk.data, chunk.start_ns, [&](const SliceEvent& e) { read.push_back(e); }));
  ASSERT_EQ(read.size(), 2U);
  EXPECT_EQ(read[1].start_ns, slices[1].start_ns);
  EXPECT_EQ(read[1].duration_ns, slices[1].duration_ns);
  EXPECT_EQ(read[1].wait_ns, 5);
  const std::vector<MemoryEvent> memory = {{OpId{-1}, 0, 10, Space::kHost, Category::kMaster, 4096}};
  const EventChunk m = encode(std::span<const MemoryEvent>(memory));
  EXPECT_EQ(m.data, "[[-1,0,0,2,1,4096]]");
  int samples = 0;
  EXPECT_TRUE(decode_memory(m.data, m.start_ns, [&](const MemoryEvent& e) {
    ++samples;
    EXPECT_EQ(e.time_ns, 10);
    EXPECT_EQ(e.space, Space::kHost);
    EXPECT_EQ(e.category, Category::kMaster);
    EXPECT_EQ(e.live_bytes, 4096);
  }));
  EXPECT_EQ(samples, 1);
}

TEST(Chunks, RefusesWhatItDoesNotWrite) {
  const auto nothing = [](const SliceEvent&) {};
  EXPECT_TRUE(decode_slices("[]", 0, nothing));
  for (const char* text : {"", "[", "]", "[[", "[[]]", "[[1,2,3,4]]", "[[1,2,3,4,5,6]]", "[[1,2,3,4,5]",
                           "[[1,2,3,4,5],]", "[[1,2,3,4,5]]x", "[[1,2,-3,4,5]]", "[[1,2,3,4,99999999999999999999]]",
                           "[[1, 2,3,4,5]]", "[[99999999999,2,3,4,5]]", "[[1,2,9223372036854775807,4,5]]"}) {
    EXPECT_FALSE(decode_slices(text, 0, nothing)) << text;
  }
  EXPECT_FALSE(decode_slices("[[1,2,3,4,5]]", -1, nothing));
}

// ---------------------------------------------------------------- event queue

TEST(EventQueue, DeliversEverythingInOrderBetweenTwoThreads) {
  EventQueue<int> queue;
  constexpr int kEvents = 300'000;
  std::thread producer([&] {
    for (int i = 0; i < kEvents; ++i) queue.push(i);
  });
  int expected = 0;
  while (expected < kEvents) {
    queue.drain([&](int value) { ASSERT_EQ(value, expected++); });
  }
  producer.join();
  EXPECT_EQ(queue.drain([](int) {}), 0);
  EventQueue<int> never_drained;
  never_drained.push(1);
}

// ---------------------------------------------------------------- programs

TEST(ProgramRows, HashesTellProgramsApart) {
  const auto rows = op_records(testing::tiny_program(0, 2));
  EXPECT_EQ(hash_of(rows), hash_of(op_records(testing::tiny_program(1, 2)))) << "ranks of a class share a program";
  EXPECT_NE(hash_of(rows), hash_of(op_records(testing::tiny_program(0, 4)))) << "another group size";
  auto changed = rows;
  changed[2].layer = 5;
  EXPECT_NE(hash_of(rows), hash_of(changed));
  changed = rows;
  changed[2].flops += 1;
  EXPECT_NE(hash_of(rows), hash_of(changed));
}

// ---------------------------------------------------------------- schema

TEST(Schema, EveryColumnHasASentenceAndIsInSchemaDoc) {
  const TempFolder folder;
  testing::record_tiny_profile(folder.file("run.db"), "x");
  const Profile profile(folder.file("run.db"));
  const auto check = [&](const auto& table) {
    EXPECT_THAT(table.doc, ::testing::EndsWith(".")) << table.name;
    Rows all = profile.rows(std::string("SELECT * FROM ") + table.name);
    EXPECT_EQ(all.columns(), static_cast<int>(table.columns.size())) << table.name;
    for (const SchemaColumn& column : table.columns) {
      EXPECT_THAT(column.doc, ::testing::EndsWith(".")) << table.name << "." << column.name;
      profile.rows(std::string("SELECT ") + column.name + " FROM " + table.name).next();
      Rows doc = profile.rows("SELECT unit, text FROM schema_doc WHERE name = ? AND column_name = ?",
                              {Value(std::string(table.name)), Value(std::string(column.name))});
      ASSERT_TRUE(doc.next());
      EXPECT_EQ(doc.text(0), column.unit);
      EXPECT_EQ(doc.text(1), column.doc);
    }
  };
  for (const SchemaTable& table : schema_tables()) check(table);
  for (const SchemaView& view : schema_views()) check(view);
}

TEST(Schema, DocsSayWhatTheSchemaSays) {
  const std::string path = std::string(SHARDSCOPE_SOURCE_DIR) + "/docs/profile.md";
  if (std::getenv("SHARDSCOPE_UPDATE_DOCS") != nullptr) std::ofstream(path) << schema_markdown();
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), schema_markdown())
      << "run this test with SHARDSCOPE_UPDATE_DOCS=1 to write docs/profile.md anew";
}

TEST(Schema, MigratesOneVersionAfterTheOther) {
  const TempFolder folder;
  Connection db(folder.file("old.db"), Connection::Mode::kCreate);
  db.execute("CREATE TABLE t (a); PRAGMA user_version = 1");
  const Migration steps[] = {{2, "ALTER TABLE t ADD COLUMN b"}, {3, "INSERT INTO t VALUES (1, 2)"}};
  migrate(db, 1, steps);
  EXPECT_EQ(db.integer("PRAGMA user_version"), 3);
  EXPECT_EQ(db.integer("SELECT b FROM t"), 2);
  migrate(db, 3, steps);
  EXPECT_EQ(db.integer("SELECT count(*) FROM t"), 1) << "nothing is done twice";
  const Migration broken[] = {{4, "INSERT INTO t VALUES (3, 4)"}, {5, "no SQL"}};
  EXPECT_THROW(migrate(db, 3, broken), Error);
  EXPECT_EQ(db.integer("SELECT count(*) FROM t"), 1) << "all or nothing";
  const Migration gap[] = {{5, "SELECT 1"}};
  EXPECT_THROW(migrate(db, 3, gap), Error);
}

// ---------------------------------------------------------------- merge

std::int64_t count(const Profile& profile, const std::string& sql) {
  Rows rows = profile.rows(sql);
  return rows.next() ? rows.integer(0) : -1;
}

void record_part(const std::string& path, int rank, const std::string& key) {
  ProfileWriter writer(part_path(path, rank), testing::tiny_run("shared"), {.run_key = key});
  RankTrace* trace = writer.open_rank(rank, testing::tiny_program(rank, 2));
  testing::trace_step(*trace, 0);
  trace->finish({}, 0);
}

TEST(Merge, RanksOfOneRunBecomeOneRun) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  testing::record_tiny_profile(path, "before", 2);
  for (int rank = 0; rank < 2; ++rank) record_part(path, rank, "the-key");
  const Profile profile(path);  // merges
  EXPECT_FALSE(has_parts(path));
  EXPECT_EQ(count(profile, "SELECT count(*) FROM run"), 2);
  EXPECT_EQ(count(profile, "SELECT count(*) FROM rank WHERE run = 2"), 2);
  EXPECT_EQ(count(profile, "SELECT count(*) FROM slice WHERE run = 2 AND rank = 1"), 6);
  EXPECT_EQ(count(profile, "SELECT count(*) FROM slice WHERE run = 1"), 2 * 2 * 6) << "the earlier run is as it was";
  EXPECT_EQ(count(profile, "SELECT count(*) FROM op_summary WHERE run = 2 AND kind = 'matmul'"), 1);
  EXPECT_EQ(count(profile, "SELECT count(*) FROM string WHERE text = 'matmul'"), 1);
  EXPECT_EQ(count(profile, "SELECT count(*) FROM run WHERE id = 2 AND status = 'finished'"), 1);
}

TEST(Merge, RefusesARankTwiceAndLeavesBothFilesAlone) {
  const TempFolder folder;
  const std::string path = folder.file("run.db"), copy = folder.file("copy.db");
  record_part(path, 0, "key");
  std::filesystem::copy_file(part_path(path, 0), copy);
  {
    const Profile profile = [&] {
      merge_parts(path);
      return Profile(path);
    }();
  }
  EXPECT_THROW(merge_profile(path, copy), Error);
  EXPECT_EQ(count(Profile(path), "SELECT count(*) FROM rank"), 1);
  EXPECT_EQ(count(Profile(copy), "SELECT count(*) FROM rank"), 1);
}

TEST(Merge, PartsThatAreStillWrittenStay) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  testing::record_tiny_profile(path, "before", 1);
  {
    ProfileWriter writer(part_path(path, 0), testing::tiny_run("live"));
    EXPECT_EQ(count(Profile(path), "SELECT count(*) FROM run"), 1);
    EXPECT_TRUE(has_parts(path));
  }
  EXPECT_EQ(count(Profile(path), "SELECT count(*) FROM run"), 2);
}

}  // namespace
}  // namespace shardscope
