// Files that are not what they should be: one Error each, never a crash.

#include "profiler/store/profile.h"

#include <gmock/gmock.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <optional>
#include <random>
#include <thread>

#include "core/error.h"
#include "profiler/query/collective_bandwidth.h"
#include "profiler/query/list_runs.h"
#include "profiler/query/memory_by_category.h"
#include "profiler/query/op_comparison.h"
#include "profiler/query/op_summary.h"
#include "profiler/query/step_breakdown.h"
#include "profiler/query/step_times.h"
#include "profiler/store/schema.h"
#include "profiler/store/sqlite.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using ::testing::HasSubstr;
using testing::TempFolder;

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

void ask_everything(const Profile& profile) {
  for (const RunRow& run : list_runs(profile)) {
    list_ranks(profile, run.id);
    list_diagnostics(profile, run.id);
    step_breakdown(profile, run.id);
    step_times(profile, run.id);
    op_summary(profile, run.id);
    memory_by_category(profile, run.id);
    memory_over_time(profile, run.id, 0, Space::kDevice);
    collective_bandwidth(profile, run.id);
    op_comparison(profile, run.id, profile, run.id, 0);
  }
}

std::string error_of_opening(const std::string& path) {
  return error_of([&] { ask_everything(Profile(path)); });
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_bytes(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

/// A good profile, changed by somebody with plain SQLite.
std::string tampered(const TempFolder& folder, const std::string& sql) {
  std::string path = folder.file("tampered.db");
  std::filesystem::remove(path);
  testing::record_tiny_profile(path, "run");
  Connection(path, Connection::Mode::kReadWrite).execute(sql);
  return path;
}

TEST(Profile, FilesThatAreNoProfileAreNamed) {
  const TempFolder folder;
  EXPECT_THAT(error_of_opening(folder.file("missing.db")), HasSubstr("missing.db: no such file"));
  EXPECT_FALSE(std::filesystem::exists(folder.file("missing.db"))) << "looking must not create it";
  EXPECT_THAT(error_of_opening(folder.file("")), HasSubstr("is a directory"));
  write_bytes(folder.file("empty.db"), "");
  EXPECT_THAT(error_of_opening(folder.file("empty.db")), HasSubstr("the file is empty"));
  write_bytes(folder.file("text.db"), "this is a text that is longer than a page's head");
  EXPECT_THAT(error_of_opening(folder.file("text.db")), HasSubstr("not an SQLite 3 file"));
  write_bytes(folder.file("head.db"), std::string(kSqliteMagic) + std::string(200, 'x'));
  EXPECT_THAT(error_of_opening(folder.file("head.db")), HasSubstr("head.db: "));
  Connection(folder.file("other.db"), Connection::Mode::kCreate).execute("CREATE TABLE t (x)");
  EXPECT_THAT(error_of_opening(folder.file("other.db")), HasSubstr("of another program"));
}

TEST(Profile, VersionsAreChecked) {
  const TempFolder folder;
  EXPECT_THAT(error_of_opening(tampered(folder, "PRAGMA user_version = 99")),
              HasSubstr("newer Shardscope (schema version 99"));
  EXPECT_THAT(error_of_opening(tampered(folder, "PRAGMA user_version = -5")), HasSubstr("not a Shardscope profile"));
}

TEST(Profile, SchemasMustBeOurs) {
  const TempFolder folder;
  EXPECT_THAT(error_of_opening(tampered(folder,
                                        "DROP VIEW step_mean; CREATE VIEW step_mean AS WITH RECURSIVE r(i) AS "
                                        "(SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT i FROM r")),
              HasSubstr("step_mean is not declared as"));
  EXPECT_THAT(error_of_opening(tampered(folder, "DROP TABLE step")), HasSubstr("step is missing"));
  EXPECT_THAT(error_of_opening(tampered(folder, "ALTER TABLE run ADD COLUMN x")), HasSubstr("run is not declared as"));
  EXPECT_THAT(error_of_opening(tampered(folder, "CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM step; END")),
              HasSubstr("trigger"));
  EXPECT_THAT(error_of([&] { ProfileWriter(tampered(folder, "DROP VIEW op"), testing::tiny_run("x")); }),
              HasSubstr("op is missing"));
  EXPECT_EQ(error_of_opening(tampered(folder, "CREATE TABLE notes (text); CREATE VIEW mine AS SELECT * FROM run")),
            "no error")
      << "what a person adds is left alone";
}

TEST(Profile, ValuesOfWrongTypesAreErrors) {
  const TempFolder folder;
  const char* kTampering[] = {
      "UPDATE run SET world = 'many'",
      "UPDATE run SET world = 1e300",
      "UPDATE run SET world = 9223372036854775807",
      "UPDATE run SET name = x'00ff'",
      "UPDATE run SET name = NULL",
      "UPDATE run SET flops_per_token = 9e999",
      "UPDATE step SET dur_ns = 'long'",
      "UPDATE step SET dur_ns = NULL",
      "UPDATE step SET compute_ns = 9e999",
      "UPDATE rank SET rank = 'first' WHERE rank = 0",
      "UPDATE memory_peak SET category = 'nonsense' WHERE rank = 0 AND category = 'bucket'",
      "UPDATE memory_peak SET space = 7 WHERE rank = 0",
      "UPDATE memory_peak SET at_peak_bytes = 9223372036854775807",
      "UPDATE memory_chunk SET data = '[[1,2,3]]'",
      "UPDATE memory_chunk SET data = '[[0,0,0,99,0,1]]'",
      "UPDATE memory_chunk SET data = x'5b5d00'",
      "UPDATE memory_chunk SET start_ns = 9223372036854775807",
      "UPDATE op_total SET total_ns = 'x'",
      "UPDATE op_total SET total_ns = 9223372036854775807",
      "UPDATE op_row SET group_size = -9223372036854775808",
      "UPDATE op_row SET layer = 'top'",
      "UPDATE run SET status = 'running'; UPDATE slice_chunk SET data = '{'",
      "UPDATE run SET status = 'running'; UPDATE slice_chunk SET data = '[[1,2],3,\"x\"]'",
      "UPDATE string SET text = NULL",
      "UPDATE program SET hash = 'x'",
  };
  for (const char* sql : kTampering) {
    SCOPED_TRACE(sql);
    EXPECT_THAT(error_of_opening(tampered(folder, sql)), HasSubstr("tampered.db: "));
  }
}

TEST(Profile, TruncatedAndFlippedFilesNeverCrash) {
  const TempFolder folder;
  const std::string good = folder.file("good.db"), bad = folder.file("bad.db");
  testing::record_tiny_profile(good, "run", 20);
  const std::string bytes = bytes_of(good);
  std::mt19937 random(7);
  int errors = 0;
  for (int i = 0; i < 60; ++i) {
    std::string changed = bytes;
    if (i % 2 == 0) {
      changed.resize(random() % bytes.size());
    } else {
      for (int k = 0; k < 40; ++k)
        changed[100 + random() % (changed.size() - 100)] ^= static_cast<char>(1 << random() % 8);
    }
    write_bytes(bad, changed);
    if (error_of_opening(bad) != "no error") ++errors;
  }
  EXPECT_GE(errors, 30) << "every truncation at least";
}

TEST(Profile, IsReadOnly) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  testing::record_tiny_profile(path, "run");
  const std::string before = bytes_of(path);
  const Profile profile(path);
  EXPECT_THAT(error_of([&] { profile.rows("DELETE FROM run").next(); }), HasSubstr("run.db: "));
  ask_everything(profile);
  EXPECT_EQ(bytes_of(path), before);
}

TEST(Profile, OpensWhatMayOnlyBeRead) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  testing::record_tiny_profile(path, "run");
  std::filesystem::permissions(path, std::filesystem::perms::owner_read);
  EXPECT_EQ(error_of_opening(path), "no error");
}

TEST(Profile, NamesThatMeanSomethingToSqliteAreFiles) {
  const TempFolder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.file(""));
  for (const char* name : {":memory:", "file:a?mode=memory", "a b%20.db"}) {
    testing::record_tiny_profile(name, "run");
    EXPECT_TRUE(std::filesystem::exists(name)) << name;
    EXPECT_EQ(error_of_opening(name), "no error");
  }
  std::filesystem::current_path(before);
}

TEST(Profile, OneStatementIsReadByManyAtOnceAndAgain) {
  const TempFolder folder;
  testing::record_tiny_profile(folder.file("run.db"), "first");
  std::optional<Profile> profile(folder.file("run.db"));
  const char* sql = "SELECT value FROM (SELECT 1 AS value UNION ALL SELECT 2 UNION ALL SELECT 3) WHERE value >= ?";
  const auto all = [&](std::int64_t from) {
    std::vector<std::int64_t> values;
    for (Rows rows = profile->rows(sql, {Value(from)}); rows.next();) values.push_back(rows.integer(0));
    return values;
  };
  using ::testing::ElementsAre;
  for (int round = 0; round < 3; ++round) {
    Rows a = profile->rows(sql, {Value(std::int64_t{2})});
    ASSERT_TRUE(a.next());
    EXPECT_THAT(all(1), ElementsAre(1, 2, 3)) << "while another is read";
    EXPECT_EQ(a.integer(0), 2);
    ASSERT_TRUE(a.next());
    EXPECT_EQ(a.integer(0), 3);
  }
  EXPECT_THAT(all(3), ElementsAre(3));
  EXPECT_THAT(all(1), ElementsAre(1, 2, 3)) << "nothing is left of what was read before";
  for (Rows unbound = profile->rows(sql); unbound.next();) FAIL() << "nothing is left of what was bound before";
  Rows last = profile->rows(sql, {Value(std::int64_t{1})});
  ASSERT_TRUE(last.next());
  profile.reset();  // its rows may end after it
  EXPECT_EQ(last.integer(0), 1);
}

/// Without a write-ahead log a recorder can only commit while nobody reads.
TEST(Profile, ARecorderHasItsTurnWhileLocksAreHeld) {
  const TempFolder folder;
  testing::record_tiny_profile(folder.file("run.db"), "first");
  std::atomic<bool> began{false}, recorded{false};
  std::size_t runs = 0;
  std::thread reader([&] {
    const Profile profile(folder.file("run.db"));
    {
      const LockHold hold(profile), inner(profile);
      while (!recorded) runs = list_runs(profile).size(), began = true;
    }
    runs = list_runs(profile).size();
  });
  while (!began) std::this_thread::yield();
  const std::string error = error_of([&] { testing::record_tiny_profile(folder.file("run.db"), "second"); });
  recorded = true;
  reader.join();
  EXPECT_EQ(error, "no error");
  EXPECT_EQ(runs, 2U);
}

}  // namespace
}  // namespace shardscope
