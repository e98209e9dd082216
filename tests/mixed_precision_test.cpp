// Overflow in fp16 and bf16: a step whose gradients are not finite changes nothing on any rank, and the loss scale
// follows DeepSpeed's rules.

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <mutex>

#include "core/engine/lr_schedule.h"
#include "core/engine/trainer.h"
#include "core/error.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/random_job.h"

namespace shardscope {
namespace {

/// The same tokens in every step, so that a skipped step is a step that might not have been.
class SameTokens : public SequenceSource {
 public:
  std::int64_t seq_len() const override { return 8; }
  std::int64_t sequences_per_epoch() const override { return 0; }
  std::string describe() const override { return "same tokens"; }
  void read(std::int64_t, std::span<std::int32_t> tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(i % 7);
  }
};

/// What came out: the reports of all steps, and the final weights of rank 0's shards and all others, rank by rank.
struct Trained {
  TrainResult result;
  std::vector<StepReport> steps;
  std::vector<std::vector<float>> masters;
};

Trained run(const Job& job) {
  Trained trained;
  trained.masters.resize(static_cast<std::size_t>(job.parallel.ranks()));
  const SameTokens data;
  TrainOptions options;
  options.data = &data;
  options.threads_per_rank = 1;
  options.on_step = [&](const StepReport& report) { trained.steps.push_back(report); };
  std::mutex mutex;
  options.at_end = [&](int rank, const Program& program, const Memory& memory) {
    const std::lock_guard lock(mutex);
    auto& all = trained.masters[static_cast<std::size_t>(rank)];
    for (const StatePiece& piece : program.state) {
      if (piece.role == StateRole::kParameter) continue;
      const float* at = memory.as<float>(piece.home);
      all.insert(all.end(), at, at + piece.home.count);
    }
  };
  trained.result = train(
      job, [](int, int threads) { return make_cpu_backend(threads); }, options);
  return trained;
}

Job fp16_job(int stage, int ranks) {
  JobChoice choice;
  choice.heads = 2;
  choice.seq = 8;
  choice.dp = ranks;
  choice.stage = stage;
  choice.precision = 2;
  Job job = job_of(choice);
  job.training.optimizer.lr = 1e-2;
  job.training.precision.hysteresis = 1;
  return job;
}

TEST(MixedPrecision, AnOverflowSkipsTheStepOnAllRanksAndHalvesTheScale) {
  for (const int stage : {0, 1, 2, 3}) {
    for (const bool offload : {false, true}) {
      if (offload && stage == 0) continue;
      Job job = fp16_job(stage, 2);
      if (offload) job.training.zero.offload_optimizer.device = OffloadDevice::kCpu;
      job.training.precision.initial_scale_power = 24;  // beyond fp16's range for almost any gradient
      job.steps = 20;
      const Trained skipping = run(job);
      const auto skipped = static_cast<std::size_t>(skipping.result.skipped_steps);
      ASSERT_GE(skipped, 2U);
      ASSERT_LT(skipped, 18U);
      for (std::size_t i = 0; i < skipped; ++i) {
        EXPECT_FALSE(skipping.steps[i].is_applied) << "stage " << stage << ", step " << i;
        EXPECT_EQ(skipping.steps[i].loss_scale, std::ldexp(1, 24 - static_cast<int>(i)));
        EXPECT_EQ(skipping.steps[i].loss, skipping.steps[0].loss);
      }
      // From there on it is the training that began with the scale that held.
      job.training.precision.initial_scale_power = 24 - static_cast<int>(skipped);
      job.steps = 20 - static_cast<std::int64_t>(skipped);
      const Trained plain = run(job);
      EXPECT_EQ(plain.result.skipped_steps, 0);
      EXPECT_EQ(plain.masters, skipping.masters) << "stage " << stage << (offload ? ", offload" : "");
      EXPECT_LT(plain.result.losses.back(), plain.result.losses.front());
    }
  }
}

TEST(MixedPrecision, TheScheduleStandsStillWhileStepsAreSkipped) {
  Job job = fp16_job(1, 2);
  job.training.precision.initial_scale_power = 24;
  job.training.schedule.kind = ScheduleKind::kWarmupLR;
  job.training.schedule.warmup_max_lr = 1e-2;
  job.training.schedule.warmup_num_steps = 10;
  job.training.schedule.warmup_log = false;
  job.steps = 20;
  const Trained trained = run(job);
  std::int64_t applied = 0;
  for (const StepReport& step : trained.steps) {
    EXPECT_EQ(step.learning_rate, learning_rate(job.training.schedule, job.training.optimizer.lr, applied));
    applied += step.is_applied ? 1 : 0;
  }
  EXPECT_EQ(applied, 20 - trained.result.skipped_steps);
  EXPECT_GT(trained.result.skipped_steps, 0);
}

TEST(MixedPrecision, TheScaleGrowsAfterItsWindow) {
  Job job = fp16_job(2, 2);
  job.training.precision.initial_scale_power = 4;
  job.training.precision.loss_scale_window = 3;
  job.steps = 7;
  std::vector<double> scales;
  for (const StepReport& step : run(job).steps) scales.push_back(step.loss_scale);
  EXPECT_THAT(scales, testing::ElementsAre(16, 16, 16, 32, 32, 32, 64));
}

/// The scale is a power of two: nothing but overflow and underflow depends on it.
TEST(MixedPrecision, TheScaleItselfDoesNotMatter) {
  Job job = fp16_job(1, 2);
  job.steps = 3;
  job.training.precision.loss_scale = 256;
  const Trained first = run(job);
  job.training.precision.loss_scale = 1024;
  const Trained second = run(job);
  for (std::size_t i = 0; i < first.steps.size(); ++i) {
    EXPECT_NEAR(first.steps[i].loss, second.steps[i].loss, 1e-4 * first.steps[i].loss);
    EXPECT_NEAR(first.steps[i].grad_norm, second.steps[i].grad_norm, 1e-2 * first.steps[i].grad_norm);
  }
}

TEST(MixedPrecision, AtTheLeastScaleTheTensorThatOverflowedFirstIsNamed) {
  Job job = fp16_job(2, 2);
  job.training.precision.initial_scale_power = 24;
  job.training.precision.min_loss_scale = 1 << 23;
  job.steps = 20;
  try {
    run(job);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("loss scale is at its minimum of 8388608"));
    EXPECT_THAT(error.what(), testing::HasSubstr("an infinity or NaN in logits.mb0, written by op"));
    EXPECT_THAT(error.what(), testing::HasSubstr("cross_entropy"));
  }
}

/// A cast to 8 bits must not make a finite number of an infinity: the overflow would be missed.
TEST(MixedPrecision, AnOverflowIsSeenThroughProductsInFp8) {
  Job job = fp16_job(2, 2);
  job.model.hidden = 32, job.model.head_dim = 16, job.model.intermediate = 32;
  job.training.micro_batch = 2, job.training.train_batch_size = 4;
  job.fp8.enabled = true;
  job.training.precision.initial_scale_power = 24;
  job.steps = 20;
  const Trained trained = run(job);
  EXPECT_GE(trained.result.skipped_steps, 2);
  EXPECT_LT(trained.result.skipped_steps, 18);
  EXPECT_LT(trained.result.losses.back(), trained.result.losses.front());
}

TEST(MixedPrecision, Bf16SkipsWhatIsNotFiniteUnlessToldOtherwise) {
  JobChoice choice;
  choice.heads = 2;
  choice.seq = 8;
  choice.precision = 1;
  for (const bool check : {true, false}) {
    Job job = job_of(choice);
    job.steps = 4;
    job.training.optimizer.lr = 1e30;  // the first update leaves weights whose products overflow
    job.training.precision.check_grad_overflow = check;
    const Trained trained = run(job);
    EXPECT_EQ(trained.result.skipped_steps, check ? 3 : 0);
    EXPECT_TRUE(trained.steps[0].is_applied);
    const auto& weights = trained.masters[0];
    const bool finite = std::all_of(weights.begin(), weights.end(), [](float w) { return std::isfinite(w); });
    EXPECT_EQ(finite, check);
  }
}

}  // namespace
}  // namespace shardscope
