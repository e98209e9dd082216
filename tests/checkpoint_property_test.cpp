// Any mix writes a checkpoint that any other mix of the same model and batch goes on from: with nothing changed to the
// bit, otherwise as closely as two mixes train anyway.

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>

#include "core/engine/checkpoint/checkpointer.h"
#include "core/engine/checkpoint/resume.h"
#include "core/engine/trainer.h"
#include "core/error.h"
#include "core/program/lower.h"
#include "core/temp_folder_for_test.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/random_job.h"

namespace shardscope {
namespace {

using testing::memory_folder;
using testing::TempFolder;

constexpr int kSteps = 4;
/// Comes from the thread that writes, where an assertion would end the program without a word.
const Say kFails = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()), std::abort(); };

TrainOptions plain_options(const SequenceSource& data) {
  TrainOptions options;
  options.data = &data;
  options.poison_memory = true;  // state that nothing restored shows as NaN
  options.threads_per_rank = 1;
  return options;
}

TrainResult run(const Job& job, const TrainOptions& options) {
  return train(
      job, [](int, int threads) { return make_cpu_backend(threads); }, options);
}

/// The first `steps` steps, with a checkpoint at the end.
void run_and_write(Job job, int steps, const std::string& folder) {
  job.steps = steps;
  const auto data = make_random_sequences(job.model.vocab_size, job.data.seq_len, 99);
  std::vector<Program> programs;
  std::vector<int> local;
  for (int rank = 0; rank < job.parallel.ranks(); ++rank) {
    programs.push_back(lower(job, rank));
    local.push_back(rank);
  }
  Checkpointer checkpoints({.folder = folder}, checkpoint_record(job), deal_state(programs), local, kFails);
  TrainOptions options = plain_options(*data);
  options.programs = &programs;
  options.at_boundary = [&](int rank, const Memory& memory, const RunPosition& position) {
    checkpoints.at_boundary(rank, memory, position);
  };
  options.at_end = [&](int rank, const Program&, const Memory& memory) { checkpoints.finish(rank, memory); };
  run(job, options);
}

/// The steps that are left.
TrainResult resume(Job job, const std::string& folder) {
  job.steps = kSteps;
  const auto data = make_random_sequences(job.model.vocab_size, job.data.seq_len, 99);
  const ResumePoint from = find_resume_point(folder, job, kFails);
  TrainOptions options = plain_options(*data);
  options.start = from.position;
  options.fill_state = [&](int, const Program& program, const Memory& memory) {
    restore_state(program, memory, *from.open());
  };
  return run(job, options);
}

std::vector<double> whole_run(Job job) {
  job.steps = kSteps;
  const auto data = make_random_sequences(job.model.vocab_size, job.data.seq_len, 99);
  return run(job, plain_options(*data)).losses;
}

RC_GTEST_PROP(Checkpoint, ResumedWithNothingChangedGivesTheSameBits, ()) {
  const Job job = job_of(*gen_job());
  const int steps = *rc::gen::inRange(1, kSteps);
  const TempFolder folder(memory_folder());  // hundreds of cases would mostly wait for a disk
  run_and_write(job, steps, folder.path());
  const std::vector<double> whole = whole_run(job);
  RC_ASSERT(resume(job, folder.path()).losses == std::vector<double>(whole.begin() + steps, whole.end()));
}

int divisor_of(std::int64_t n, int limit) {
  std::vector<int> divisors;
  for (int d = 1; d <= limit && d <= n; ++d) {
    if (n % d == 0) divisors.push_back(d);
  }
  return *rc::gen::elementOf(divisors);
}

/// Whether so many ranks can share the model and its sequences.
bool divides(const JobChoice& choice) {
  try {
    lower(job_of(choice), 0);
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// Gives `b` the model and the global batch of `a`, the batch split in another way, and no pipeline. Routers look at
/// one micro-batch at a time, so with experts those stay the same.
void make_same_training(const JobChoice& a, JobChoice& b) {
  for (int JobChoice::*field : {&JobChoice::layers, &JobChoice::heads, &JobChoice::kv_divisor, &JobChoice::head_dim,
                                &JobChoice::mlp, &JobChoice::vocab, &JobChoice::tied, &JobChoice::seq,
                                &JobChoice::adam_w, &JobChoice::experts, &JobChoice::top_k, &JobChoice::capacity}) {
    b.*field = a.*field;
  }
  b.llama = a.llama;
  b.clipping = a.clipping;
  const std::int64_t batch = job_of(a).training.train_batch_size;
  b.pp = 1;
  const bool routed = a.experts > 0;
  b.dp = divisor_of(routed ? batch / a.micro_batch : batch, 4);
  b.micro_batch = routed ? a.micro_batch : divisor_of(batch / b.dp, 3);
  b.accumulation = static_cast<int>(batch / b.dp / b.micro_batch);
  b.ep = routed && !b.deepspeed_mode ? divisor_of(std::gcd(b.dp, a.experts), 4) : 1;
  const int cp = b.dp * b.tp * b.cp > 16 || routed ? 1 : b.cp, ulysses = cp == 1 ? 1 : b.ulysses;
  b.cp = b.ulysses = 1;
  if (b.tp == 1 || !divides(b)) b.sp = 0;
  if (!divides(b) || (routed && b.deepspeed_mode)) b.tp = 1;
  b.cp = cp, b.ulysses = ulysses;
  if (!divides(b)) b.cp = b.ulysses = 1;
}

RC_GTEST_PROP(Checkpoint, AnyMixGoesOnFromAnyOther, ()) {
  JobChoice a = *gen_job();
  JobChoice b = *gen_job();
  a.precision = b.precision = 0;  // another layout rounds otherwise
  make_same_training(a, b);
  if (*rc::gen::arbitrary<bool>()) std::swap(a, b);
  const int steps = *rc::gen::inRange(1, kSteps);
  const TempFolder folder(memory_folder());  // hundreds of cases would mostly wait for a disk
  run_and_write(job_of(a), steps, folder.path());
  const std::vector<double> rest = resume(job_of(b), folder.path()).losses, whole = whole_run(job_of(a));
  RC_ASSERT(rest.size() == whole.size() - static_cast<std::size_t>(steps));
  for (std::size_t i = 0; i < rest.size(); ++i) {
    const double expected = whole[static_cast<std::size_t>(steps) + i];
    RC_ASSERT(std::abs(rest[i] - expected) <= 2e-5 * std::abs(expected));
  }
}

}  // namespace
}  // namespace shardscope
