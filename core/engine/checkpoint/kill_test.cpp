// A run that is killed at any moment leaves a checkpoint folder whose newest complete checkpoint opens, is whole, is
// the state of its step, and is not older than the last one that was complete before.

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <random>

#include "core/engine/checkpoint/bigram_checkpoints_for_test.h"

namespace shardscope {
namespace {

using testing::TempFolder;
using testing::train_bigram;

constexpr int kKills = 60;

Job endless_job() {
  Job job = bigram_job(2, 1, 1);
  job.steps = 1'000'000;
  return job;
}

const Say kQuiet = [](const std::string&) {};

/// In the child: goes on from the newest checkpoint, a checkpoint after every step, until it is killed.
[[noreturn]] void train_until_killed(const std::string& folder) {
  const bool fresh = list_checkpoints(folder).empty();
  train_bigram(endless_job(), {.folder = folder, .every = 1, .keep = 2}, fresh ? "" : find_checkpoint(folder, kQuiet),
               kQuiet);
  _exit(1);
}

std::int64_t newest_step(const std::string& folder) {
  if (list_checkpoints(folder).empty()) return 0;
  return CheckpointSource(find_checkpoint(folder, [](const std::string& line) { ADD_FAILURE() << line; }))
      .manifest()
      .position.steps;
}

/// What the pointer says; the checkpoint itself may be replaced while we look.
std::int64_t latest_step(const std::string& folder) {
  const std::optional<std::string> name = latest_name(folder);
  return name ? std::stoll(name->substr(std::string("step-").size())) : 0;
}

/// All data, checked against its checksums.
std::vector<float> values_of(const std::string& checkpoint) {
  CheckpointSource source(checkpoint);
  std::vector<float> all(3 * 121);
  source.read(0, StateRole::kParameter, 0, std::span(all).subspan(0, 121));
  source.read(0, StateRole::kExpAvg, 0, std::span(all).subspan(121, 121));
  source.read(0, StateRole::kExpAvgSq, 0, std::span(all).subspan(242, 121));
  return all;
}

TEST(KilledRun, NeverLosesTheLastCompleteCheckpoint) {
  const TempFolder folder;
  std::mt19937 random(20261125);
  std::int64_t last = 0;
  int advanced = 0;
  for (int kill_number = 0; kill_number < kKills; ++kill_number) {
    const pid_t child = fork();
    if (child == 0) train_until_killed(folder.path());
    usleep(std::uniform_int_distribution<useconds_t>(1'000, 120'000)(random));
    const std::int64_t complete = latest_step(folder.path());  // while the child works
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
    const std::int64_t now = newest_step(folder.path());
    ASSERT_GE(now, complete);
    ASSERT_GE(complete, last);
    if (now > 0) values_of(find_checkpoint(folder.path(), kQuiet));
    advanced += now > last ? 1 : 0;
    last = now;
  }
  EXPECT_GT(advanced, kKills / 20) << "children live long enough to write one, on a slow machine too";

  // However often it was killed on the way, the state is that of a run that was not.
  Job whole = bigram_job(2, 1, 1);
  whole.steps = last;
  train_bigram(whole, {.folder = folder.file("whole")});
  EXPECT_EQ(values_of(find_checkpoint(folder.path(), kQuiet)),
            values_of(folder.file("whole/" + checkpoint_name(last))));
}

}  // namespace
}  // namespace shardscope
