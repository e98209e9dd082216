// Ops launched as CUDA graphs do what they do one by one, to the bit, in steps whose numbers all differ: Adam's count,
// learning rate, loss scale, tokens and places in the cache. Skipped without a GPU or the emulated device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "core/engine/generator.h"
#include "core/engine/trainer.h"
#include "core/error.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/kernel.h"
#include "tests/random_inference.h"
#include "tests/random_job.h"

namespace shardscope {
namespace {

int device_count() {
  try {
    return static_cast<int>(cuda_devices().size());
  } catch (const Error&) {
    return 0;
  }
}

BackendFactory backends(int ranks, bool graphs) {
  const bool shares = ranks > device_count();
  return [shares, graphs](int rank, int threads) {
    return make_cuda_backend(
        {.device = shares ? 0 : rank, .host_threads = threads, .shares_device = shares, .graphs = graphs});
  };
}

class CudaGraphs : public testing::Test {
  void SetUp() override {
    if (device_count() == 0) GTEST_SKIP() << "no GPU, and not on the emulated device";
  }
};

/// A replica or two. Graphs are captured in the second step; what they did in the third shows in the fourth's loss.
Job gen_training() {
  JobChoice choice = *gen_job();
  choice.pp = choice.tp = choice.cp = choice.ulysses = choice.ep = choice.copies = choice.hpz = 1;
  choice.sp = 0;
  choice.dp = *rc::gen::inRange(1, 3);
  choice.layers = 1, choice.accumulation = *rc::gen::inRange(1, 3), choice.micro_batch = 1;
  Job job = job_of(choice);
  job.steps = 4;
  ScheduleSpec& schedule = job.training.schedule;
  schedule.kind = ScheduleKind::kWarmupLR;
  schedule.warmup_num_steps = 10, schedule.warmup_max_lr = 1e-2;
  job.training.precision.loss_scale_window = 1;  // fp16: another scale in every step
  return job;
}

TrainResult run(const Job& job, bool graphs) {
  const auto data = make_random_sequences(job.model.vocab_size, job.data.seq_len, 99);
  TrainOptions options;
  options.data = data.get();
  options.poison_memory = true;
  options.threads_per_rank = 1;
  return train(job, backends(job.parallel.ranks(), graphs), options);
}

TEST_F(CudaGraphs, TrainToTheSameBits) {
  EXPECT_TRUE(rc::check([] {
    const Job job = gen_training();
    const TrainResult with = run(job, true), without = run(job, false);
    RC_ASSERT(with.losses == without.losses);
    RC_ASSERT(with.ranks.front().launches.in_graphs > 0);
    RC_ASSERT(without.ranks.front().launches.in_graphs == 0);
    RC_ASSERT(without.ranks.front().launches.ops == with.ranks.front().launches.ops);
    if (job.training.gradient_clipping > 0) RC_ASSERT(with.grad_norms == without.grad_norms);
  }));
}

TEST_F(CudaGraphs, GenerateTheSameTokens) {
  EXPECT_TRUE(rc::check([] {
    InferenceChoice choice = *gen_inference();
    choice.new_tokens = *rc::gen::inRange(5, 9);
    choice.model.layers = 1;
    InferenceSpec spec = spec_of(choice);
    spec.sampling.temperature = *rc::gen::element(0.0, 0.8);
    const auto run = [&](bool graphs) {
      return generate(spec, prompts_of(choice), backends(spec.tp, graphs),
                      {.seed = 7, .threads_per_rank = 1, .poison_memory = true});
    };
    const GenerateResult with = run(true), without = run(false);
    for (std::size_t i = 0; i < with.continuations.size(); ++i) {
      RC_ASSERT(with.continuations[i].tokens == without.continuations[i].tokens);
      RC_ASSERT(with.continuations[i].logprobs == without.continuations[i].logprobs);
    }
    const LaunchCounts& counts = with.decode.front().launches;
    RC_ASSERT(without.decode.front().launches.graphs == 0);
    RC_ASSERT(counts.in_graphs > 0);
    if (spec.tp > 1) return;  // collectives cut
    RC_ASSERT(counts.graphs == 1);
    RC_ASSERT(counts.in_graphs == counts.ops - 1);  // but for the op that draws: its seed is a number of the step
  }));
}

/// What a kernel would do that baked a number of the step into a graph.
TEST_F(CudaGraphs, NoNumberOfTheStepGetsIntoOne) {
  const cuda::DeviceInfo device;
  cuda::LaneState lane(device);
  const Memory memory;
  const StepScalars scalars{.applied_steps = 3};
  const cuda::Kernel launched{memory, scalars, lane}, captured{memory, scalars, lane, /*is_captured=*/true};
  EXPECT_FALSE(launched.asked_scalars);
  EXPECT_EQ(launched.scalars().applied_steps, 3);
  EXPECT_TRUE(launched.asked_scalars);
  EXPECT_DEATH((void)captured.scalars(), "is_captured");
}

}  // namespace
}  // namespace shardscope
