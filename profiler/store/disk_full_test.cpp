// A disk that runs full stops the recording, not the run; what was written before stays readable.

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "core/error.h"
#include "profiler/query/list_runs.h"
#include "profiler/store/profile.h"
#include "profiler/store/test_profile.h"

namespace shardscope {
namespace {

using testing::TempFolder;

/// Traces a lot of steps; what writer.problem() says at the end.
std::string trace_much(const std::string& path, int steps) {
  ProfileWriter writer(path, testing::tiny_run("full"), {.flush_seconds = 0.01});
  RankTrace* trace = writer.open_rank(0, testing::tiny_program(0, 2));
  for (int step = 0; step < steps; ++step) {
    testing::trace_step(*trace, step);
    if (step % 1000 == 0) usleep(20'000);  // let it flush
  }
  writer.finish();
  return writer.problem();
}

void expect_incomplete_but_readable(const std::string& path) {
  const Profile profile(path);
  const std::vector<RunRow> runs = list_runs(profile);
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_GT(runs[0].steps, 0);
  EXPECT_LT(runs[0].steps, 20'000);
  EXPECT_NE(runs[0].status, "finished");
}

TEST(DiskFull, AFileSizeLimitStopsTheRecordingOnly) {
  const TempFolder folder;
  const std::string path = folder.file("run.db");
  const pid_t child = fork();  // limits cannot be raised again
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{2 << 20, 2 << 20};
    setrlimit(RLIMIT_FSIZE, &limit);
    const std::string problem = trace_much(path, 20'000);
    _exit(problem.find("recording stopped") != std::string::npos ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "problem() does not tell, or the run went down";
  expect_incomplete_but_readable(path);
}

/// A file system of one MiB; gone with the object.
class SmallDisk {
 public:
  explicit SmallDisk(std::string path) : path_(std::move(path)) {
    std::filesystem::create_directories(path_);
    mounted_ = mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=1m") == 0;
  }
  ~SmallDisk() {
    if (mounted_) umount2(path_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool mounted() const { return mounted_; }

 private:
  std::string path_;
  bool mounted_ = false;
};

TEST(DiskFull, AFullFileSystemStopsTheRecordingOnly) {
  const TempFolder folder;
  const std::string disk = folder.file("disk");
  const SmallDisk mounted(disk);
  if (!mounted.mounted()) GTEST_SKIP() << "needs root, to mount a small disk";
  const std::string path = disk + "/run.db";
  const std::string problem = trace_much(path, 20'000);
  EXPECT_NE(problem.find("the disk is full"), std::string::npos) << problem;
  expect_incomplete_but_readable(path);
  EXPECT_THROW(ProfileWriter(disk + "/second.db", testing::tiny_run("x")), Error) << "no room to begin with";
}

}  // namespace
}  // namespace shardscope
