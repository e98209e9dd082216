#include "core/engine/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>

#include "core/engine/bigram_for_test.h"
#include "core/engine/hub_for_test.h"
#include "core/engine/plain_backend_for_test.h"
#include "core/error.h"

namespace shardscope {
namespace {

const BackendFactory kPlain = [](int, int) { return std::make_unique<PlainBackend>(); };

/// "0 1 2 3 ..." with one odd token now and then: a bigram table learns it.
class CountingSequences : public SequenceSource {
 public:
  std::int64_t seq_len() const override { return 8; }
  std::int64_t sequences_per_epoch() const override { return 0; }
  std::string describe() const override { return "counting"; }
  void read(std::int64_t index, std::span<std::int32_t> tokens) const override {
    if (index == fail_at) throw Error(ErrorKind::kIo, "sequence 30: the disk is gone");
    for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>((index + i) % 11);
    tokens[static_cast<std::size_t>(index) % tokens.size()] = static_cast<std::int32_t>(index * index % 11);
  }
  std::int64_t fail_at = -1;
};

TrainResult train_bigram(const Job& job, TrainOptions options = {}) {
  const std::vector<Program> programs = bigram_programs(job);
  static const CountingSequences data;
  options.programs = &programs;
  if (options.data == nullptr) options.data = &data;
  return train(job, kPlain, options);
}

TEST(Trainer, LossFallsAndIsTheSameHoweverTheBatchIsSplit) {
  const TrainResult one = train_bigram(bigram_job(1, 12, 1));
  ASSERT_EQ(one.losses.size(), 12U);
  EXPECT_LT(one.losses.back(), 0.7 * one.losses.front());
  for (auto [ranks, micro, accumulation] : {std::array{1, 3, 4}, {2, 6, 1}, {2, 3, 2}, {3, 2, 2}, {4, 1, 3}}) {
    const TrainResult split = train_bigram(bigram_job(ranks, micro, accumulation));
    ASSERT_EQ(split.losses.size(), 12U);
    for (std::size_t i = 0; i < 12; ++i) EXPECT_NEAR(split.losses[i], one.losses[i], 2e-5) << ranks << " " << i;
    for (std::size_t i = 0; i < 12; ++i) EXPECT_NEAR(split.grad_norms[i], one.grad_norms[i], 2e-5) << ranks << " " << i;
  }
}

TEST(Trainer, SameSeedSameBitsAndAnotherSeedOthers) {
  Job job = bigram_job(3, 2, 2);
  const TrainResult first = train_bigram(job), second = train_bigram(job);
  EXPECT_EQ(first.losses, second.losses);
  EXPECT_EQ(first.grad_norms, second.grad_norms);
  job.seed = 8;
  EXPECT_NE(train_bigram(job).losses, first.losses);
}

TEST(Trainer, PoisonedMemoryChangesNothing) {
  const Job job = bigram_job(2, 3, 2);
  EXPECT_EQ(train_bigram(job, {.poison_memory = true}).losses, train_bigram(job).losses);
}

TEST(Trainer, MeasuredPeaksAreThePredictedOnes) {
  const Job job = bigram_job(2, 3, 2);
  const TrainResult result = train_bigram(job);
  const std::vector<Program> programs = bigram_programs(job);
  ASSERT_EQ(result.ranks.size(), 2U);
  for (std::size_t r = 0; r < 2; ++r) {
    const MemoryPeak predicted = compute_memory_peak(programs[r]);
    EXPECT_EQ(result.ranks[r].rank, static_cast<int>(r));
    EXPECT_EQ(result.ranks[r].peak.peak_bytes, predicted.peak_bytes);
    EXPECT_EQ(result.ranks[r].peak.at_peak, predicted.at_peak);
    EXPECT_GT(result.ranks[r].rss_bytes, 0);
  }
}

TEST(Trainer, ReportsEveryStepWithItsScheduledRate) {
  Job job = bigram_job(2, 3, 1);
  job.training.schedule = {
      .kind = ScheduleKind::kWarmupLR, .warmup_max_lr = 0.4, .warmup_num_steps = 4, .warmup_log = false};
  std::vector<StepReport> reports;
  const TrainResult result = train_bigram(job, {.on_step = [&](const StepReport& r) { reports.push_back(r); }});
  ASSERT_EQ(reports.size(), 12U);
  EXPECT_EQ(reports[0].learning_rate, 0);
  EXPECT_NEAR(reports[2].learning_rate, 0.1, 1e-15);
  EXPECT_NEAR(reports[11].learning_rate, 0.4, 1e-15);
  EXPECT_EQ(reports[3].step, 3);
  EXPECT_EQ(result.losses[5], reports[5].loss);
  EXPECT_GT(reports[5].tokens_per_s, 0);
  EXPECT_EQ(reports[0].device_peak_bytes, result.ranks[0].peak.peak_bytes[0]);
  EXPECT_EQ(result.tokens_per_step, 2 * 3 * 8);
  EXPECT_FALSE(result.interrupted);
}

TEST(Trainer, StopFlagFinishesTheStepUnderWay) {
  std::atomic<bool> stop = false;
  const TrainResult result = train_bigram(bigram_job(3, 2, 1), {.on_step =
                                                                    [&](const StepReport& r) {
                                                                      if (r.step == 4) stop = true;
                                                                    },
                                                                .stop = &stop});
  EXPECT_TRUE(result.interrupted);
  EXPECT_EQ(result.losses.size(), 5U);
  EXPECT_EQ(result.ranks[2].rank, 2);
  EXPECT_GT(result.ranks[2].peak.peak_bytes[0], 0);
}

TEST(Trainer, AFailingRankEndsTheRunWithItsOwnCause) {
  CountingSequences data;
  data.fail_at = 30;  // 6 sequences a step, two a rank: step 5, rank 0
  for (int turn = 0; turn < 10; ++turn) {
    data.fail_at = 30 + turn % 6;
    try {
      train_bigram(bigram_job(3, 2, 1), {.data = &data});
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kIo);
      const std::string rank = "rank " + std::to_string(turn % 6 / 2) + ": op ";
      EXPECT_THAT(error.what(), testing::StartsWith(rank));
      EXPECT_THAT(error.what(), testing::HasSubstr("(load_batch bigram): sequence 30: the disk is gone"));
    }
  }
}

TEST(Trainer, TooLittleDeviceMemoryIsAnErrorNotAHang) {
  Job job = bigram_job(2, 3, 1);
  job.device_memory_bytes = 2048;
  try {
    train_bigram(job);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDevice);
    EXPECT_THAT(error.what(), testing::HasSubstr("would fit"));
  }
}

TEST(Trainer, AFactoryThatFailsOnOneRankStopsTheOthers) {
  const Job job = bigram_job(3, 2, 1);
  const std::vector<Program> programs = bigram_programs(job);
  const CountingSequences data;
  const BackendFactory broken = [](int rank, int) -> std::unique_ptr<Backend> {
    if (rank == 1) throw Error(ErrorKind::kDevice, "no such device");
    return std::make_unique<PlainBackend>();
  };
  try {
    train(job, broken, {.data = &data, .programs = &programs});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "rank 1: no such device");
  }
}

TEST(Trainer, RefusesWhatItCannotRun) {
  Job job = bigram_job(1, 2, 1);
  job.launcher = "mpi";
  EXPECT_THROW(train_bigram(job), Error);
  job.launcher = "threads";
  job.steps = 0;
  EXPECT_THROW(train_bigram(job), Error);
}

TEST(Trainer, AtEndSeesTheFinalWeightsOfEveryRank) {
  std::mutex mutex;
  std::vector<std::vector<float>> tables(2);
  train_bigram(bigram_job(2, 3, 1), {.at_end = [&](int rank, const Program& program, const Memory& memory) {
                 const Region home = program.state.front().home;
                 const std::lock_guard lock(mutex);
                 tables[static_cast<std::size_t>(rank)].assign(memory.as<float>(home),
                                                               memory.as<float>(home) + home.count);
               }});
  EXPECT_EQ(tables[0].size(), 121U);
  EXPECT_EQ(tables[0], tables[1]);
}

/// Reading one of its sequences does not return until somebody ends that.
class HangingSequences : public CountingSequences {
 public:
  explicit HangingSequences(std::int64_t at) : at_(at) {}
  void read(std::int64_t index, std::span<std::int32_t> tokens) const override {
    if (index == at_) ended_.wait(false);
    CountingSequences::read(index, tokens);
  }
  void end() {
    ended_ = true;
    ended_.notify_all();
  }

 private:
  const std::int64_t at_;
  std::atomic<bool> ended_ = false;
};

const char* const kHangMessage =
    "rank 1: hangs in step 2: op [0-9]+ .load_batch bigram. on compute for [0-9]+ s; "
    "ranks 0, 2 are in step 2: op [0-9]+ .all_reduce bigram. on reduce, call 5 of group dp";

TEST(Trainer, AnOpThatNeverReturnsEndsTheRunWithItsName) {
  Job job = bigram_job(3, 2, 1);
  job.hang_timeout_s = 0.5;
  const std::vector<Program> programs = bigram_programs(job);
  HangingSequences data(2 * 6 + 2);  // six a step, two a rank
  std::string stuck;
  try {
    train(job, kPlain, {.data = &data, .programs = &programs, .on_stuck = [&](const RankFailure& failure) {
                          stuck = failure.cause.what();
                          data.end();  // a command would end the process
                        }});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::MatchesRegex(kHangMessage));
    EXPECT_THAT(error.what(), testing::HasSubstr(stuck));
  }
  EXPECT_NE(stuck, "");
}

TEST(Trainer, AnOpThatNeverReturnsEndsTheOtherProcessesToo) {
  const Job job = bigram_job(3, 2, 1);
  const std::vector<Program> programs = bigram_programs(job);
  HangingSequences data(2 * 6 + 2);
  std::atomic<int> stuck = 0;
  const auto failures = run_with_hubs(
      HubKind::kShared, 3,
      [&](Hub& hub, int) {
        train(job, kPlain, {.hub = &hub, .data = &data, .programs = &programs, .on_stuck = [&](const RankFailure&) {
                              ++stuck;
                              data.end();
                            }});
      },
      /*hang_timeout_s=*/0.5);
  EXPECT_EQ(stuck, 1) << "the others end by themselves";
  EXPECT_THAT(failures[0], testing::MatchesRegex(kHangMessage));
}

TEST(Trainer, ProcessesTrainLikeThreads) {
  const Job job = bigram_job(3, 2, 2);
  const std::vector<Program> programs = bigram_programs(job);
  const CountingSequences data;
  const TrainResult threads = train_bigram(job);
  for (const HubKind kind : {HubKind::kShared, HubKind::kTcp}) {
    const auto failures = run_with_hubs(kind, 3, [&](Hub& hub, int rank) {
      const TrainResult own = train(job, kPlain, {.hub = &hub, .data = &data, .programs = &programs});
      EXPECT_EQ(own.losses, threads.losses);
      EXPECT_EQ(own.grad_norms, threads.grad_norms);
      ASSERT_EQ(own.ranks.size(), 3U) << "each knows of all";
      for (std::size_t r = 0; r < 3; ++r) {
        EXPECT_EQ(own.ranks[r].rank, static_cast<int>(r));
        EXPECT_EQ(own.ranks[r].peak.peak_bytes, threads.ranks[r].peak.peak_bytes) << rank;
      }
    });
    EXPECT_THAT(failures, testing::Each(""));
  }
}

TEST(TrainResult, MedianLeavesOutTheColdStep) {
  TrainResult result;
  EXPECT_EQ(result.median_step_time_s(), 0);
  result.step_times_s = {9};
  EXPECT_EQ(result.median_step_time_s(), 9);
  result.step_times_s = {9, 1};
  EXPECT_EQ(result.median_step_time_s(), 5);
  result.step_times_s = {9, 1, 3, 2};
  EXPECT_EQ(result.median_step_time_s(), 2);
}

}  // namespace
}  // namespace shardscope
