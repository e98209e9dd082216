// The master test: whatever the number of ranks, micro-batches, bucket sizes and ZeRO stage, training is the same
// training; and its memory is what the program says, to the byte.

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>

#include "core/engine/trainer.h"
#include "core/program/lower.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/closeness.h"
#include "tests/random_job.h"

namespace shardscope {
namespace {

constexpr int kSteps = 3;

TrainResult run(Job job) {
  job.steps = kSteps;
  const auto data = make_random_sequences(job.model.vocab_size, job.data.seq_len, 99);
  TrainOptions options;
  options.data = data.get();
  options.poison_memory = true;  // a read of memory that nothing wrote shows as NaN
  options.threads_per_rank = 1;  // the order of summation inside a matmul may depend on the threads
  return train(
      job, [](int, int threads) { return make_cpu_backend(threads); }, options);
}

/// The same training on one rank: every rank's micro-batches one after the other.
Job on_one_rank(Job job) {
  job.training.accumulation *= job.parallel.dp;
  job.parallel = ParallelSpec{};
  job.training.zero = ZeroSpec{};
  job.zero_mode = ZeroMode::kTextbook;
  return job;
}

void expect_memory_as_predicted(const Job& job, const TrainResult& result) {
  for (const RankResult& rank : result.ranks) {
    const MemoryPeak predicted = compute_memory_peak(lower(job, rank.rank));
    RC_ASSERT(rank.peak.peak_bytes == predicted.peak_bytes);
    RC_ASSERT(rank.peak.peak_by_category == predicted.peak_by_category);
    RC_ASSERT(rank.peak.at_peak == predicted.at_peak);
  }
}

RC_GTEST_PROP(Equivalence, AnyMixTrainsLikeOneRankAndInThePredictedBytes, ()) {
  const Job job = job_of(*gen_job());
  const TrainResult result = run(job);
  const Job single = on_one_rank(job);
  expect_close(result, run(single), closeness_of(job));
  expect_memory_as_predicted(job, result);
  if (job.training.precision.kind == Precision::kFp32) return;
  Job exact = single;
  exact.training.precision = PrecisionSpec{};
  exact.fp8 = Fp8Spec{};
  expect_close(result, run(exact), job.model.experts > 0 ? closeness_of(job) : Closeness{3e-2, 0.2});
}

/// Whether gradients add up over micro-batches where they are computed, before any sum over ranks.
bool sums_micro_batches_first(const JobChoice& c) { return c.stage < 2 || (c.dp * c.cp == 1 && !c.deepspeed_mode); }

bool is_power_of_two(int n) { return (n & (n - 1)) == 0; }

/// Sums run over ranks in rank order and over micro-batches in order, so where both orders are the same the bits are:
/// among stages that sum micro-batches first (0, 1), among those that sum ranks first (2, 3), and among all with one
/// micro-batch. Bucket sizes, overlap, prefetch, persistence and reuse never matter. In deepspeed mode the division by
/// N is exact where N is a power of two.
RC_GTEST_PROP(Equivalence, SameOrderOfSummationSameBits, ()) {
  JobChoice a = *gen_job();
  JobChoice b = *gen_job();
  for (int JobChoice::*field : {&JobChoice::layers,       &JobChoice::heads,    &JobChoice::kv_divisor,
                                &JobChoice::head_dim,     &JobChoice::mlp,      &JobChoice::vocab,
                                &JobChoice::tied,         &JobChoice::seq,      &JobChoice::micro_batch,
                                &JobChoice::accumulation, &JobChoice::dp,       &JobChoice::adam_w,
                                &JobChoice::pp,           &JobChoice::schedule, &JobChoice::virtual_stages,
                                &JobChoice::partition,    &JobChoice::tp,       &JobChoice::sp,
                                &JobChoice::cp,           &JobChoice::ulysses,  &JobChoice::experts,
                                &JobChoice::top_k,        &JobChoice::capacity, &JobChoice::ep}) {
    b.*field = a.*field;
  }
  if (a.pp > 1 || a.sp > 0 || a.ep > 1 || (a.experts > 0 && a.tp > 1)) b.deepspeed_mode = 0;
  a.copies = b.copies = 1;  // copies sum in groups: another order
  b.llama = a.llama;
  b.clipping = a.clipping;
  if (!is_power_of_two(a.dp * a.cp)) b.deepspeed_mode = a.deepspeed_mode;
  for (int JobChoice::*field :
       {&JobChoice::precision, &JobChoice::fp32_gradients, &JobChoice::communication, &JobChoice::fp8}) {
    b.*field = a.*field;
  }
  // In 16 bits, where gradients are rounded counts too: what is added up in another dtype than it is sent in, and what
  // DeepSpeed's division makes subnormal.
  if (a.precision > 0) b.deepspeed_mode = a.deepspeed_mode;
  const bool casts = a.precision > 0 && (a.fp32_gradients || a.communication > 0);
  const bool one_order = sums_micro_batches_first(a) == sums_micro_batches_first(b);
  if (((a.accumulation > 1 || casts) && !one_order) || (casts && a.deepspeed_mode)) {
    b.stage = a.stage;
    b.deepspeed_mode = a.deepspeed_mode;
  }
  const TrainResult first = run(job_of(a)), second = run(job_of(b));
  RC_ASSERT(first.losses == second.losses);
  RC_ASSERT(first.grad_norms == second.grad_norms);
}

/// A pipeline only moves work: with untied embeddings even the order of every sum stays, whatever the schedule.
RC_GTEST_PROP(Equivalence, APipelineTrainsTheSameBits, ()) {
  JobChoice choice = *gen_job();
  choice.deepspeed_mode = 0;
  choose_pipeline(choice);
  choice.llama = true;
  choice.tied = 0;
  choice.tp = 1, choice.sp = 0;
  choose_tensor_parallel(choice);
  choose_experts(choice);
  choose_sequence_parallel(choice);
  choose_fp8(choice);
  const TrainResult pipeline = run(job_of(choice));
  choice.pp = 1;
  const TrainResult whole = run(job_of(choice));
  if (choice.experts == 0) RC_ASSERT(pipeline.losses == whole.losses);
  for (std::size_t i = 0; i < whole.losses.size(); ++i) {  // every stage's routers add to the loss: another order
    RC_ASSERT(std::abs(pipeline.losses[i] - whole.losses[i]) <= 1e-6 * whole.losses[i]);
  }
}

/// ZeRO++ rounds what it sends: training goes on nearly as without, and the memory is still what the program says.
RC_GTEST_PROP(Equivalence, QuantizedExchangeTrainsNearly, ()) {
  JobChoice choice = *gen_job();
  choice.stage = 3;
  choice.dp = *rc::gen::inRange(2, 5);
  choice.copies = 1;
  choice.experts = choice.capacity = 0, choice.ep = 1;  // routers may choose differently
  choice.quantized_weights = *rc::gen::inRange(0, 2);
  choice.quantized_gradients = *rc::gen::inRange(0, 2);
  choice.precision = 0;
  RC_PRE(choice.dp * choice.pp * choice.tp <= 16);
  const Job job = job_of(choice);
  const TrainResult result = run(job), exact = run(on_one_rank(job));
  for (std::size_t i = 0; i < exact.losses.size(); ++i) {
    RC_ASSERT(std::abs(result.losses[i] - exact.losses[i]) <= 0.02 * exact.losses[i]);
    RC_ASSERT(std::abs(result.grad_norms[i] - exact.grad_norms[i]) <= 0.5 * exact.grad_norms[i]);
  }
  expect_memory_as_predicted(job, result);
}

RC_GTEST_PROP(Equivalence, SameSeedSameBitsTwice, ()) {
  const Job job = job_of(*gen_job());
  const TrainResult first = run(job), second = run(job);
  RC_ASSERT(first.losses == second.losses);
  RC_ASSERT(first.grad_norms == second.grad_norms);
}

class Counting : public SequenceSource {  // 0 1 2 3 ..., from any start: learnable
 public:
  std::int64_t seq_len() const override { return 16; }
  std::int64_t sequences_per_epoch() const override { return 0; }
  std::string describe() const override { return "counting"; }
  void read(std::int64_t index, std::span<std::int32_t> tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = static_cast<std::int32_t>((index + static_cast<std::int64_t>(i)) % 11);
  }
};

JobChoice learner(bool llama) {
  JobChoice choice;
  choice.llama = llama;
  choice.heads = 2;
  choice.head_dim = 8;
  choice.mlp = 32;
  choice.seq = 16;
  choice.micro_batch = 4;
  choice.dp = 2;
  return choice;
}

std::vector<double> learn_to_count(Job job) {
  job.steps = 60;
  job.training.optimizer.lr = 1e-2;
  const Counting data;
  TrainOptions options;
  options.data = &data;
  return train(
             job, [](int, int threads) { return make_cpu_backend(threads); }, options)
      .losses;
}

/// A gradient that did nothing would pass all of the above.
TEST(Equivalence, TheLossGoesDown) {
  for (const bool llama : {false, true}) {
    const std::vector<double> losses = learn_to_count(job_of(learner(llama)));
    EXPECT_NEAR(losses.front(), std::log(11.0), 0.2);
    EXPECT_LT(losses.back(), 0.5);
  }
}

TEST(Equivalence, Fp8LearnsNearlyAsBf16Does) {
  for (const bool llama : {false, true}) {
    JobChoice choice = learner(llama);
    choice.precision = 1;
    const std::vector<double> wide = learn_to_count(job_of(choice));
    for (const int format : {1, 2}) {
      choice.fp8 = format;
      const Job job = job_of(choice);
      ASSERT_TRUE(job.fp8.enabled);
      const std::vector<double> losses = learn_to_count(job);
      EXPECT_LT(losses.back(), 0.5);
      EXPECT_NE(losses, wide);
      for (std::size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i], wide[i], 0.1) << "step " << i;
    }
  }
}

}  // namespace
}  // namespace shardscope
