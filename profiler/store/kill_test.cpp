// A run that is killed in the middle leaves a profile that opens, in our reader and as plain SQLite, and that lacks
// nothing that was traced.

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <random>
#include <thread>

#include "profiler/query/list_runs.h"
#include "profiler/query/op_summary.h"
#include "profiler/query/step_breakdown.h"
#include "profiler/store/event_file.h"
#include "profiler/store/merge.h"
#include "profiler/store/profile.h"
#include "profiler/store/sqlite.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using testing::TempFolder;

/// In the child: two ranks trace as fast as they can (a step each 2 ms); says through the pipe how far it has come.
[[noreturn]] void trace_until_killed(const std::string& path, int pipe, double flush_seconds) {
  ProfileWriter writer(path, testing::tiny_run("killed"), {.flush_seconds = flush_seconds});
  RankTrace* traces[] = {writer.open_rank(0, testing::tiny_program(0, 2)),
                         writer.open_rank(1, testing::tiny_program(1, 2))};
  for (int step = 0;; ++step) {
    for (RankTrace* trace : traces) testing::trace_step(*trace, step);
    if (write(pipe, &step, sizeof step) != sizeof step) _exit(1);
    usleep(2000);
  }
}

/// Starts such a child and kills it after `seconds` of tracing; the last step it said that it had traced.
int trace_and_kill(const std::string& path, double seconds, double flush_seconds = 0.02) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    trace_until_killed(path, ends[1], flush_seconds);
  }
  close(ends[1]);
  std::atomic<int> last{-1};
  std::thread reader([&] {
    for (int step = 0; read(ends[0], &step, sizeof step) == sizeof step;) last = step;
  });
  while (last < 0) usleep(1000);
  usleep(static_cast<useconds_t>(seconds * 1e6));
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
  reader.join();
  close(ends[0]);
  return last;
}

std::int64_t count(const Profile& profile, const std::string& sql) {
  Rows rows = profile.rows(sql);
  return rows.next() ? rows.integer(0) : -1;
}

/// Everything of `steps` steps of both ranks, once; of one more step there may be a part.
void expect_whole(const Profile& profile, std::int64_t run, int steps) {
  const std::string of_run = " WHERE run = " + std::to_string(run);
  for (const char* rank : {"0", "1"}) {
    const std::string of_rank = of_run + " AND rank = " + rank;
    EXPECT_GE(count(profile, "SELECT count(*) FROM step" + of_rank), steps);
    EXPECT_LE(count(profile, "SELECT count(*) FROM step" + of_rank), steps + 1);
    const std::string first = of_rank + " AND step < " + std::to_string(steps);
    EXPECT_EQ(count(profile, "SELECT count(*) FROM slice" + first), 6 * steps);
    EXPECT_EQ(count(profile, "SELECT count(DISTINCT op || ' ' || step) FROM slice" + first), 6 * steps);
    EXPECT_EQ(count(profile, "SELECT count(*) FROM memory" + first + " AND op >= 0"), 4 * steps);
    EXPECT_EQ(count(profile, "SELECT count(*) FROM step" + first +
                                 " AND (compute_ns, optimizer_ns, load_ns, exposed_communication_ns, offload_ns, "
                                 "idle_ns) <> (300000, 200000, 100000, 100000, 100000, 200000)"),
              0);
  }
  EXPECT_EQ(count(profile, "SELECT sum(at_peak_bytes) FROM memory_peak" + of_run + " AND rank = 1"),
            4096 + 8192 + 6000);
}

TEST(KilledRun, LacksNothingThatWasTraced) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  for (int round = 0; round < 6; ++round) {
    const int traced = trace_and_kill(path, 0.03 * round + 0.005);
    const Profile profile(path);
    const std::vector<RunRow> runs = list_runs(profile);
    ASSERT_EQ(runs.size(), static_cast<std::size_t>(round + 1)) << "runs are appended after a killed one";
    EXPECT_EQ(runs.back().status, "running");
    expect_whole(profile, runs.back().id, traced + 1);
    const std::vector<RankBreakdown> ranks = step_breakdown(profile, runs.back().id);
    ASSERT_EQ(ranks.size(), 2U);
    EXPECT_NEAR(ranks[0].mean.compute_s, 300e-6, 1e-9);
    EXPECT_EQ(op_summary(profile, runs.back().id).front().kind, "matmul") << "op_time is made from slices";
  }
}

TEST(KilledRun, LacksNothingOfAMinuteWithoutAFlush) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  const int traced = trace_and_kill(path, 0.2, 60);
  EXPECT_EQ(EventFile::beside(path).size(), 1U);
  expect_whole(Profile(path), 1, traced + 1);
  EXPECT_TRUE(EventFile::beside(path).empty());
  expect_whole(Profile(path), 1, traced + 1);
}

TEST(KilledRun, IsLeftAloneWhileItRuns) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  ProfileWriter writer(path, testing::tiny_run("live"), {.flush_seconds = 60});
  RankTrace* trace = writer.open_rank(0, testing::tiny_program(0, 2));
  testing::trace_step(*trace, 0);
  { const Profile reader(path); }
  EXPECT_EQ(EventFile::beside(path).size(), 1U);
  writer.finish();
  EXPECT_TRUE(EventFile::beside(path).empty());
  EXPECT_EQ(count(Profile(path), "SELECT count(*) FROM step"), 1);
  EXPECT_EQ(count(Profile(path), "SELECT count(*) FROM slice"), 6);
  EXPECT_EQ(count(Profile(path), "SELECT count(*) FROM meta WHERE key LIKE 'collected%'"), 0);
}

TEST(KilledRun, ADamagedEventFileDoesNoHarm) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  const int traced = trace_and_kill(path, 0.05, 60);
  const std::string events = EventFile::beside(path).front();
  std::mt19937 random(7);
  {
    std::fstream file(events, std::ios::binary | std::ios::in | std::ios::out);
    for (int i = 0; i < 4000; ++i) {
      file.seekp(4096 + static_cast<std::streamoff>(random() % (24 * EventBlock::kBytes)));
      file.put(static_cast<char>(random()));
    }
  }
  const Profile profile(path);
  EXPECT_GE(count(profile, "SELECT count(*) FROM slice"), 0);
  EXPECT_LE(count(profile, "SELECT count(*) FROM step"), 2 * (traced + 2));
  std::ofstream(folder.file("run.db-events-x")) << "something else";
  EXPECT_EQ(list_runs(Profile(path)).size(), 1U);
}

TEST(KilledRun, OpensAsPlainSqlite) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  const int traced = trace_and_kill(path, 0.1);
  { const Profile recovers(path); }
  Connection plain(path, Connection::Mode::kReadWrite);
  EXPECT_EQ(plain.text("PRAGMA integrity_check"), "ok");
  EXPECT_GT(plain.integer("SELECT count(*) FROM step WHERE rank = 0"), traced);
  EXPECT_EQ(plain.integer("SELECT count(*) FROM step_breakdown"), 2);
  EXPECT_GT(plain.integer("SELECT count(*) FROM slice WHERE rank = 1"), 6 * traced);
}

TEST(KilledRun, PartsOfItsRanksAreJoinedWhenTheProfileIsOpened) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  testing::record_tiny_profile(path, "before");
  trace_and_kill(part_path(path, 0), 0.01);
  const int traced = trace_and_kill(part_path(path, 1), 0.01, 60);
  const Profile profile(path);
  expect_whole(profile, 3, traced + 1);
  EXPECT_EQ(list_runs(profile).size(), 3U) << "two processes that did not share a key are two runs";
  EXPECT_FALSE(has_parts(path));
}

}  // namespace
}  // namespace shardscope
