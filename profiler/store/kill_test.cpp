// A run that is killed in the middle leaves a profile that opens, in our reader and as plain SQLite, and that lacks at
// most what came in since the last flush.

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "profiler/query/list_runs.h"
#include "profiler/query/op_summary.h"
#include "profiler/query/step_breakdown.h"
#include "profiler/store/merge.h"
#include "profiler/store/profile.h"
#include "profiler/store/sqlite.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using testing::TempFolder;

constexpr double kFlush = 0.02;  ///< seconds

/// In the child: two ranks trace as fast as they can (a step each 2 ms); says through the pipe how far it has come.
[[noreturn]] void trace_until_killed(const std::string& path, int pipe) {
  ProfileWriter writer(path, testing::tiny_run("killed"), {.flush_seconds = kFlush});
  RankTrace* traces[] = {writer.open_rank(0, testing::tiny_program(0, 2)),
                         writer.open_rank(1, testing::tiny_program(1, 2))};
  for (int step = 0;; ++step) {
    for (RankTrace* trace : traces) testing::trace_step(*trace, step);
    if (write(pipe, &step, sizeof step) != sizeof step) _exit(1);
    usleep(2000);
  }
}

/// Starts such a child and kills it a second after `seconds` of tracing; the last step it had traced before that
/// second.
int trace_and_kill(const std::string& path, double seconds) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    trace_until_killed(path, ends[1]);
  }
  close(ends[1]);
  std::atomic<int> last{-1};
  std::thread reader([&] {
    for (int step = 0; read(ends[0], &step, sizeof step) == sizeof step;) last = step;
  });
  while (last < 0) usleep(1000);
  usleep(static_cast<useconds_t>(seconds * 1e6));
  const int flushed_by_now = last;  // a second later this must be in the file
  sleep(1);
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
  reader.join();
  close(ends[0]);
  return flushed_by_now;
}

TEST(KilledRun, LeavesAProfileThatOpensAndLacksAtMostASecond) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  for (int round = 0; round < 3; ++round) {
    const int traced = trace_and_kill(path, 0.03 * round + 0.005);
    const Profile profile(path);
    const std::vector<RunRow> runs = list_runs(profile);
    ASSERT_EQ(runs.size(), static_cast<std::size_t>(round + 1)) << "runs are appended after a killed one";
    EXPECT_EQ(runs.back().status, "running");
    EXPECT_GT(runs.back().steps, traced);
    const std::vector<RankBreakdown> ranks = step_breakdown(profile, runs.back().id);
    ASSERT_EQ(ranks.size(), 2U);
    EXPECT_NEAR(ranks[0].mean.compute_s, 300e-6, 1e-9);
    EXPECT_EQ(op_summary(profile, runs.back().id).front().kind, "matmul") << "op_time is made from slices";
  }
}

TEST(KilledRun, OpensAsPlainSqlite) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  const int traced = trace_and_kill(path, 0.01);
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
  trace_and_kill(part_path(path, 1), 0.01);
  const Profile profile(path);
  EXPECT_EQ(list_runs(profile).size(), 3U) << "two processes that did not share a key are two runs";
  EXPECT_FALSE(has_parts(path));
}

}  // namespace
}  // namespace shardscope
