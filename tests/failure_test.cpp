// A rank that fails in the middle of a step: every other rank stops, wherever its lanes are waiting.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "core/engine/trainer.h"
#include "core/error.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/random_job.h"

namespace shardscope {
namespace {

/// Tokens of the vocabulary, but for one sequence: the op that reads them must refuse it.
class OneBadSequence : public SequenceSource {
 public:
  OneBadSequence(std::int64_t seq, std::int64_t bad) : seq_(seq), bad_(bad) {}
  std::int64_t seq_len() const override { return seq_; }
  std::int64_t sequences_per_epoch() const override { return 0; }
  std::string describe() const override { return "one bad sequence"; }
  void read(std::int64_t index, std::span<std::int32_t> tokens) const override {
    for (std::int32_t& token : tokens) token = index == bad_ ? 1'000'000 : 3;
  }

 private:
  std::int64_t seq_, bad_;
};

TEST(Failure, AnOpThatThrowsStopsEveryRank) {
  for (int turn = 0; turn < 48; ++turn) {
    JobChoice choice;
    choice.layers = 4;
    choice.heads = 2;
    choice.head_dim = 8;
    choice.stage = turn % 4;
    choice.overlap = turn / 4 % 2;
    choice.deepspeed_mode = turn / 8 % 2;
    choice.bucket = 500;
    choice.dp = turn % 3 == 2 ? 2 : 4;
    choice.pp = !choice.deepspeed_mode && choice.dp == 2 ? 2 : 1;
    choice.schedule = static_cast<int>(PipelineSchedule::k1F1B);
    choice.accumulation = 2;
    Job job = job_of(choice);
    job.steps = 4;
    const std::int64_t per_step = job.training.train_batch_size;
    const OneBadSequence data(choice.seq, per_step + turn % per_step);  // some rank and micro-batch of the second step
    TrainOptions options;
    options.data = &data;
    try {
      train(
          job, [](int, int threads) { return make_cpu_backend(threads); }, options);
      FAIL() << choice;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).rfind("rank ", 0), 0U) << error.what();
      EXPECT_NE(std::string(error.what()).find("is 1000000, outside the model's vocabulary of 11"), std::string::npos)
          << error.what();
    }
  }
}

/// Overwrites the start of every swap file that this process has open in a folder: they have no name there.
int spoil_swap_files(const std::string& folder) {
  int spoiled = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    if (target.rfind(folder, 0) != 0) continue;
    std::fstream file(entry.path());
    file << "somebody else's bytes";
    ++spoiled;
  }
  return spoiled;
}

TEST(Failure, ASwapFileThatChangedStopsEveryRank) {
  char folder[] = "/tmp/shardscope-failure-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  JobChoice choice;
  choice.heads = 2;
  choice.head_dim = 8;
  choice.stage = 3;
  choice.dp = 2;
  choice.offload = 3;
  Job job = job_of(choice);
  job.training.zero.offload_optimizer.nvme_path = folder;
  job.steps = 4;
  const OneBadSequence data(choice.seq, -1);
  TrainOptions options;
  options.data = &data;
  options.on_step = [&](const StepReport& report) {
    if (report.step == 1) {
      EXPECT_EQ(spoil_swap_files(folder), 2);
    }
  };
  try {
    train(
        job, [](int, int threads) { return make_cpu_backend(threads); }, options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
    const std::string what = error.what();
    EXPECT_NE(what.find("nvme_read"), std::string::npos) << what;
    EXPECT_NE(what.find(std::string("nvme_path ") + folder), std::string::npos) << what;
    EXPECT_NE(what.find("read at offset 0: these 4096 bytes are not what was written there"), std::string::npos)
        << what;
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  std::filesystem::remove(folder);
}

}  // namespace
}  // namespace shardscope
