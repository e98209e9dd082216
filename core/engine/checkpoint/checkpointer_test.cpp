#include "core/engine/checkpoint/checkpointer.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <csignal>

#include "core/engine/checkpoint/bigram_checkpoints_for_test.h"

namespace shardscope {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::read_file;
using testing::TempFolder;
using testing::train_bigram;
using testing::write_file;

std::vector<std::string> names(const std::string& folder) {
  std::vector<std::string> found;
  for (const std::string& path : list_checkpoints(folder)) found.push_back(file_name(path));
  return found;
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

/// Reads everything, so that every checksum is looked at.
void read_all(const std::string& checkpoint) {
  CheckpointSource source(checkpoint);
  std::vector<float> values(121);
  for (const StateRole role : {StateRole::kParameter, StateRole::kExpAvg, StateRole::kExpAvgSq}) {
    source.read(0, role, 0, values);
  }
}

std::vector<double> tail(const std::vector<double>& all, std::size_t from) {
  return {all.begin() + static_cast<std::ptrdiff_t>(from), all.end()};
}

TEST(Checkpoints, ResumedRunContinuesWithTheSameBits) {
  const TempFolder folder;
  for (const int ranks : {1, 3}) {
    const Job job = bigram_job(ranks, 2, 2);
    const TrainResult whole = train_bigram(job, {.folder = folder.file("a"), .every = 5});
    Job first = job;
    first.steps = 5;
    train_bigram(first, {.folder = folder.file("b"), .every = 0});
    const std::string at = find_checkpoint(folder.file("b"), [](const std::string&) {});
    EXPECT_EQ(file_name(at), "step-5");
    const TrainResult rest = train_bigram(job, {.folder = folder.file("b")}, at);
    EXPECT_EQ(rest.losses, tail(whole.losses, 5));
    EXPECT_EQ(rest.grad_norms, tail(whole.grad_norms, 5));
    EXPECT_EQ(read_file(folder.file("a/step-12/rank-00000.bin")), read_file(folder.file("b/step-12/rank-00000.bin")));
    std::filesystem::remove_all(folder.file("a"));
    std::filesystem::remove_all(folder.file("b"));
  }
}

/// Rank 0 publishes as soon as the last part has its name: whoever wrote that must not need the folder any more.
TEST(Checkpoints, RanksThatFinishAtOnceAllSucceed) {
  const TempFolder folder(testing::memory_folder());
  Job job = bigram_job(8, 1, 1);
  job.steps = 400;
  const TrainResult result = train_bigram(job, {.folder = folder.path(), .every = 1, .keep = 1});
  EXPECT_EQ(result.losses.size(), 400U);
  EXPECT_EQ(names(folder.path()), (std::vector<std::string>{"step-400"}));
}

TEST(Checkpoints, AnotherNumberOfRanksContinuesTheSameTraining) {
  const TempFolder folder;
  const TrainResult whole = train_bigram(bigram_job(1, 3, 4), {.folder = folder.file("whole")});
  Job job = bigram_job(4, 3, 1);
  job.steps = 6;
  train_bigram(job, {.folder = folder.path()});
  for (const auto& [ranks, micro, accumulation] : {std::array{1, 3, 4}, {2, 6, 1}, {3, 2, 2}}) {
    const TrainResult rest = train_bigram(bigram_job(ranks, micro, accumulation),
                                          {.folder = folder.file(std::to_string(ranks))}, folder.file("step-6"));
    ASSERT_EQ(rest.losses.size(), 6U);
    for (std::size_t i = 0; i < 6; ++i) EXPECT_NEAR(rest.losses[i], whole.losses[6 + i], 2e-5) << ranks;
  }
}

TEST(Checkpoints, EveryElementIsWrittenOnce) {
  const TempFolder folder;
  train_bigram(bigram_job(3, 2, 1), {.folder = folder.path()});
  std::uintmax_t bytes = 0;
  for (int r = 0; r < 3; ++r) bytes += std::filesystem::file_size(folder.file("step-12/" + rank_file(r, ".bin")));
  EXPECT_EQ(bytes, 3U * 121 * 4) << "values and two moments, although three ranks hold all of them";
  read_all(folder.file("step-12"));
}

TEST(Checkpoints, OldOnesGoAndLatestStays) {
  const TempFolder folder;
  train_bigram(bigram_job(2, 1, 1), {.folder = folder.path(), .every = 3, .keep = 2});
  EXPECT_THAT(names(folder.path()), ElementsAre("step-12", "step-9"));
  EXPECT_EQ(latest_name(folder.path()), "step-12");
  train_bigram(bigram_job(2, 1, 1), {.folder = folder.file("all"), .every = 3, .keep = 0});
  EXPECT_EQ(names(folder.file("all")).size(), 4U);
}

TEST(Checkpoints, ARunThatStartsAgainReplacesWhatItMeets) {
  const TempFolder folder;
  train_bigram(bigram_job(2, 1, 1), {.folder = folder.path(), .every = 6});
  train_bigram(bigram_job(2, 1, 1), {.folder = folder.path(), .every = 6}, folder.file("step-6"));
  EXPECT_THAT(names(folder.path()), ElementsAre("step-12", "step-6"));
  read_all(folder.file("step-12"));
}

TEST(Checkpoints, AFlippedBitAnywhereIsFound) {
  const TempFolder folder;
  train_bigram(bigram_job(2, 1, 1), {.folder = folder.path()});
  int damaged = 0;
  for (const char* name :
       {"checkpoint.json", "rank-00000.json", "rank-00001.json", "rank-00000.bin", "rank-00001.bin"}) {
    const std::string path = folder.file(std::string("step-12/") + name), good = read_file(path);
    for (std::size_t at = 0; at < good.size(); at += 1 + good.size() / 40, ++damaged) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << damaged % 8));
      write_file(path, bad);
      EXPECT_THAT(error_of([&] { read_all(folder.file("step-12")); }), AllOf(HasSubstr("step-12"), HasSubstr(name)))
          << "byte " << at;
    }
    write_file(path, good);
  }
  EXPECT_GT(damaged, 100);
  read_all(folder.file("step-12"));
  const std::string data = folder.file("step-12/rank-00001.bin"), good = read_file(data);
  write_file(data, std::string(good).replace(5, 1, "?"));
  EXPECT_THAT(
      error_of([&] { read_all(folder.file("step-12")); }),
      AllOf(HasSubstr("rank-00001.bin"), HasSubstr("tensor table"), HasSubstr("exp_avg"), HasSubstr("checksum")));
}

TEST(Checkpoints, WhatIsCutShortIsPassedOverWithAMessage) {
  const TempFolder folder;
  train_bigram(bigram_job(2, 1, 1), {.folder = folder.path(), .every = 6});
  std::vector<std::string> said;
  const Say say = [&](const std::string& line) { said.push_back(line); };
  EXPECT_EQ(find_checkpoint(folder.path(), say), folder.file("step-12"));
  EXPECT_TRUE(said.empty());
  std::filesystem::resize_file(folder.file("step-12/rank-00001.bin"), 100);
  EXPECT_EQ(find_checkpoint(folder.path(), say), folder.file("step-6"));
  ASSERT_EQ(said.size(), 1U);
  EXPECT_THAT(said[0], AllOf(HasSubstr("rank-00001.bin"), HasSubstr("100 bytes"), HasSubstr("step-6")));
  EXPECT_THAT(error_of([&] { CheckpointSource source(folder.file("step-12")); }), HasSubstr("cut short"));
  std::filesystem::remove(folder.file("step-6/checkpoint.json"));
  EXPECT_THAT(error_of([&] { find_checkpoint(folder.path(), say); }), HasSubstr("no other complete checkpoint"));
  EXPECT_THAT(error_of([&] { find_checkpoint(folder.file("nowhere"), say); }), HasSubstr("no folder"));
}

TEST(Checkpoints, TwoRunsDoNotShareAFolder) {
  const TempFolder folder;
  const CheckpointFolder held(folder.path());
  EXPECT_THAT(error_of([&] { train_bigram(bigram_job(1, 1, 1), {.folder = folder.path()}); }),
              HasSubstr("another run"));
}

TEST(Checkpoints, AHalfMadeOneIsRemovedAtTheNextStart) {
  const TempFolder folder;
  std::filesystem::create_directories(folder.file("step-99.partial"));
  write_file(folder.file("step-99.partial/rank-00000.bin"), "x");
  train_bigram(bigram_job(1, 1, 1), {.folder = folder.path()});
  EXPECT_FALSE(std::filesystem::exists(folder.file("step-99.partial")));
}

/// Files may not grow beyond 300 bytes: what a full disk looks like to one process.
TEST(Checkpoints, AFullDiskIsToldAndCostsNothingElse) {
  const TempFolder folder;
  Job job = bigram_job(2, 1, 1);
  job.steps = 6;
  const TrainResult whole = train_bigram(bigram_job(2, 1, 1), {.folder = folder.file("whole")});
  train_bigram(job, {.folder = folder.path()});
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{.rlim_cur = 300, .rlim_max = old.rlim_max};
  std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  std::vector<std::string> said;
  const TrainResult rest = train_bigram(bigram_job(2, 1, 1), {.folder = folder.path(), .every = 3},
                                        folder.file("step-6"), [&](const std::string& line) { said.push_back(line); });
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_EQ(rest.losses, tail(whole.losses, 6)) << "training went on";
  ASSERT_EQ(said.size(), 2U) << "one line for each of step 9 and 12";
  EXPECT_THAT(said[0], AllOf(HasSubstr("after step 9"), HasSubstr("File too large")));
  EXPECT_THAT(names(folder.path()), ElementsAre("step-6"));
  EXPECT_FALSE(std::filesystem::exists(partial_path(folder.path(), 9)));
  read_all(find_checkpoint(folder.path(), [](const std::string& line) { ADD_FAILURE() << line; }));
}

}  // namespace
}  // namespace shardscope
