// The CUDA backend, on a GPU or on the emulated device (tests/cudasim/run): whatever the job, it trains as the CPU
// does. Ranks are threads, each with a device of its own; where there are fewer devices, they share the first. Skipped
// without any.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <sstream>

#include "core/engine/trainer.h"
#include "core/error.h"
#include "kernels/conformance/conformance.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cuda/cuda_backend.h"
#include "tests/closeness.h"
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

BackendFactory cpu_backends() {
  return [](int, int threads) { return make_cpu_backend(threads); };
}

BackendFactory cuda_backends(int ranks) {
  const int devices = device_count();
  return [ranks, devices](int rank, int threads) {
    const bool shares = ranks > devices;
    return make_cuda_backend({.device = shares ? 0 : rank, .host_threads = threads, .shares_device = shares});
  };
}

TrainResult run(Job job, const BackendFactory& backends) {
  job.steps = 2;
  const auto data = make_random_sequences(job.model.vocab_size, job.data.seq_len, 99);
  TrainOptions options;
  options.data = data.get();
  options.poison_memory = true;  // a read of memory that nothing wrote shows as NaN
  options.threads_per_rank = 1;
  return train(job, backends, options);
}

class Cuda : public testing::Test {
  void SetUp() override {
    if (device_count() == 0) GTEST_SKIP() << "no GPU, and not on the emulated device";
  }
};

TEST_F(Cuda, AnyMixTrainsAsOnTheCpu) {
  EXPECT_TRUE(rc::check([] {
    const JobChoice choice = *gen_job();
    const Job job = job_of(choice);
    const TrainResult on_gpu = run(job, cuda_backends(job.parallel.ranks()));
    const TrainResult on_cpu = run(job, cpu_backends());
    expect_close(on_gpu, on_cpu, closeness_of(job));
    for (std::size_t r = 0; r < on_cpu.ranks.size(); ++r) {
      RC_ASSERT(on_gpu.ranks.at(r).peak.peak_bytes == on_cpu.ranks[r].peak.peak_bytes);
    }
  }));
}

JobChoice fp8_choice() {
  JobChoice choice;
  choice.heads = 2, choice.head_dim = 16, choice.mlp = 64, choice.seq = 16, choice.accumulation = 2;
  choice.layers = 2, choice.precision = 1, choice.fp8 = 1;
  return choice;
}

TEST_F(Cuda, Fp8TrainsAsOnTheCpu) {
  std::vector<JobChoice> choices;
  for (int stage = 0; stage < 4; ++stage) {
    choices.push_back(fp8_choice());
    choices.back().stage = stage, choices.back().dp = 2, choices.back().llama = stage % 2 == 1;
    choices.back().fp32_gradients = stage / 2;
  }
  choices.push_back(fp8_choice()), choices.back().tp = 2, choices.back().fp8 = 2;
  choices.push_back(fp8_choice()), choices.back().tp = 2, choices.back().sp = 1, choices.back().precision = 2;
  choices.push_back(fp8_choice()), choices.back().pp = 2, choices.back().recompute = 2;
  for (const JobChoice& choice : choices) {
    std::ostringstream said;
    said << choice;
    SCOPED_TRACE(said.str());
    const Job job = job_of(choice);
    ASSERT_TRUE(job.fp8.enabled);
    const TrainResult on_gpu = run(job, cuda_backends(job.parallel.ranks())), on_cpu = run(job, cpu_backends());
    for (std::size_t i = 0; i < on_cpu.losses.size(); ++i) {
      EXPECT_NEAR(on_gpu.losses.at(i), on_cpu.losses[i], 3e-3 * on_cpu.losses[i]);
      EXPECT_NEAR(on_gpu.grad_norms.at(i), on_cpu.grad_norms[i], 3e-2 * on_cpu.grad_norms[i]);
    }
  }
}

/// c [m,n] = a [m,k] b [k,n] whose operands TF32 rounds: sums of k products 1 + 2^-12, which has 12 bits.
ConformanceCase fine_product(bool biased, double want) {
  constexpr std::int64_t kN = 64;
  CaseBuilder b("matmul of numbers with 12 bits");
  MatMul op{.m = kN, .n = kN, .k = kN};
  op.a = b.in(Doubles(kN * kN, 1 + 0x1p-12)), op.b = b.in(Doubles(kN * kN, 1));
  if (biased) op.bias = b.in(Doubles(kN, 0));
  op.c = b.out(kN * kN);
  b.expect(op.c, Doubles(kN * kN, want));
  return aligned(b.build(op));
}

TEST_F(Cuda, Tf32RoundsTheOperandsOfFp32ProductsWhereItIsAskedFor) {
  for (const bool biased : {false, true}) {
    const auto exact = make_cuda_backend({}), rounding = make_cuda_backend({.tf32 = true});
    EXPECT_THAT(run_case(*exact, fine_product(biased, 64 + 0x1p-6)), testing::IsEmpty());
    EXPECT_THAT(run_case(*rounding, fine_product(biased, 64)), testing::IsEmpty());
  }
}

/// Products that are made some rows at a time, since their operands are copied.
TEST_F(Cuda, ProductsOfOddRowsArePutTogetherOfParts) {
  const auto backend = make_cuda_backend({.most_moved = 1 << 16});
  const ConformanceResult result = run_conformance(*backend, "matmul 261");
  EXPECT_THAT(result.faults, testing::IsEmpty());
  EXPECT_EQ(result.ran, 16);
}

/// A device could only stop, for all that it can say.
TEST_F(Cuda, ATokenOutsideTheVocabularyIsRefusedBeforeTheDeviceSeesIt) {
  JobChoice choice;
  Job job = job_of(choice);
  job.steps = 2;
  const auto data = make_random_sequences(4 * job.model.vocab_size, job.data.seq_len, 99);
  TrainOptions options;
  options.data = data.get();
  try {
    train(job, cuda_backends(1), options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::MatchesRegex("rank 0: op [0-9]+ .load_batch batch.: to.* outside the model's "
                                                    "vocabulary of 11.*"));
  }
  const TrainResult after = run(job, cuda_backends(1));  // the device still works
  EXPECT_EQ(after.losses.size(), 2U);
}

TEST_F(Cuda, NoSuchDeviceIsSaidInOneLine) {
  try {
    (void)make_cuda_backend({.device = 99});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("GPU 99: this process sees"));
  }
}

TEST_F(Cuda, OutOfMemorySaysWhatIsFree) {
  const auto backend = make_cuda_backend({});
  try {
    (void)backend->allocate(Space::kDevice, std::int64_t{1} << 50);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("are needed for the program and"));
  }
  std::byte* const data = backend->allocate(Space::kDevice, 1024);  // and goes on
  backend->release(Space::kDevice, data, 1024);
}

}  // namespace
}  // namespace shardscope
