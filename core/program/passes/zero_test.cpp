// What the zero pass promises: volumes, resident bytes, and where gathers and reductions stand. Expected values are
// derived by hand beside each test; Psi is the number of parameters, N the number of ranks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "core/error.h"
#include "core/program/lower.h"

namespace shardscope {
namespace {

constexpr std::int64_t kHidden = 32, kLayers = 3, kVocab = 64, kSeq = 8;

/// Three layers of a GPT-2 with untied shapes that divide by 2, 4 and 16, so that no padding blurs the formulas.
Job make_job(int stage, ZeroMode mode, int dp = 2, int accumulation = 1) {
  Job job;
  job.model = parse_model(R"({"model_type": "gpt2", "vocab_size": 64, "n_embd": 32, "n_layer": 3, "n_head": 2,
                              "n_positions": 32})",
                          "test model");
  job.parallel.dp = dp;
  job.data.seq_len = kSeq;
  job.zero_mode = mode;
  job.training.micro_batch = 1;
  job.training.accumulation = accumulation;
  job.training.train_batch_size = accumulation * dp;
  job.training.zero.stage = stage;
  job.training.zero.overlap_comm = true;
  job.training.zero.param_persistence_threshold = 0;
  job.training.zero.max_reuse_distance = 0;
  job.training.zero.prefetch_bucket_size = 0;
  return job;
}

std::int64_t psi(const Job& job) { return parameter_count(job.model); }

/// Elements moved by each kind of collective in a step, scalars left out.
std::map<std::string, std::int64_t> volumes(const Program& program) {
  std::map<std::string, std::int64_t> sum;
  for (const Instruction& in : program.instructions) {
    const std::int64_t bytes = collective_bytes(program, in.op);
    if (bytes > 8) sum[std::string(op_name(in.op))] += bytes / 4;
  }
  return sum;
}

std::int64_t resident(const Program& program, Category category) {
  std::int64_t elements = 0;
  for (const Buffer& b : program.buffers) elements += b.persistent && b.category == category ? b.elements : 0;
  return elements;
}

/// Padding may add up to a slice of 16 elements per rank and chunk, or one element per parameter.
#define EXPECT_ABOUT(value, expected) \
  EXPECT_GE(value, expected);         \
  EXPECT_LE(value, (expected) + (expected) / 50 + 64)

TEST(ZeroTextbook, VolumesAreTheTextbooks) {
  for (int accumulation : {1, 3}) {
    const auto at = [&](int stage) { return volumes(lower(make_job(stage, ZeroMode::kTextbook, 2, accumulation), 0)); };
    const std::int64_t p = psi(make_job(0, ZeroMode::kTextbook));
    EXPECT_ABOUT(at(0)["all_reduce"], p);
    EXPECT_ABOUT(at(1)["reduce_scatter"], p);  // once a step, whatever the accumulation
    EXPECT_ABOUT(at(1)["all_gather"], p);
    EXPECT_EQ(at(1).count("all_reduce"), 0U);
    EXPECT_ABOUT(at(2)["reduce_scatter"], p * accumulation);
    EXPECT_ABOUT(at(2)["all_gather"], p);
    EXPECT_ABOUT(at(3)["reduce_scatter"], p * accumulation);
  }
}

TEST(ZeroTextbook, StageThreeGathersForwardAndBackwardButKeepsWhatIsStillNeeded) {
  const Job job = make_job(3, ZeroMode::kTextbook);
  // forward: embeddings, 3 blocks, final norm, then the tied table again; backward: the table is still there, then the
  // final norm and the blocks; the last block stays gathered from forward? No: norm and table lie between.
  const std::int64_t h = kHidden, block = 12 * h * h + 13 * h, ends = kVocab * h + 32 * h, norm = 2 * h;
  const std::int64_t forward = ends + 3 * block + norm + ends, backward = norm + 3 * block;
  EXPECT_ABOUT(volumes(lower(job, 0))["all_gather"], forward + backward);
}

TEST(ZeroTextbook, ResidentBytes) {
  const std::int64_t p = psi(make_job(0, ZeroMode::kTextbook));
  for (int stage : {0, 1, 2, 3}) {
    const Program program = lower(make_job(stage, ZeroMode::kTextbook, 4), 1);
    EXPECT_ABOUT(resident(program, Category::kParameter), stage == 3 ? p / 4 : p) << stage;
    EXPECT_ABOUT(resident(program, Category::kOptimizer), stage == 0 ? 2 * p : 2 * p / 4) << stage;
    EXPECT_EQ(resident(program, Category::kMaster), 0) << "fp32 parameters are their own master";
  }
}

TEST(ZeroTextbook, OneRankNeedsNoCommunicationAtAnyStage) {
  for (int stage : {0, 1, 2, 3}) {
    EXPECT_TRUE(volumes(lower(make_job(stage, ZeroMode::kTextbook, 1), 0)).empty());
  }
}

TEST(ZeroTextbook, BucketsAreReducedWhileBackwardGoesOn) {
  Job job = make_job(2, ZeroMode::kTextbook);
  job.training.zero.reduce_bucket_size = 13000;  // about a block
  const Program program = lower(job, 0);
  int reductions = 0, backward_after_first = 0;
  for (const Instruction& in : program.instructions) {
    reductions += std::holds_alternative<ReduceScatter>(in.op) ? 1 : 0;
    backward_after_first += reductions > 0 && std::holds_alternative<MatMul>(in.op) ? 1 : 0;
  }
  EXPECT_GE(reductions, 3);
  EXPECT_GE(backward_after_first, 12);
}

/// Peak of gathered parameters and buckets.
std::int64_t bucket_peak(const Job& job) {
  const MemoryPeak peak = compute_memory_peak(lower(job, 0));
  return peak.peak_by_category.bytes[0][static_cast<std::size_t>(Category::kBucket)] / 4;
}

// Gradients in fp32 that travel in bf16 are reduced in copies. With overlap these have memory of their own, as large as
// the largest bucket, and no op of backward's compute waits for a reduction; without it each has a buffer and is waited
// for.
TEST(ZeroTextbook, ComputeDoesNotWaitForCopiesThatAreReducedBesideIt) {
  for (const bool overlap : {true, false}) {
    Job job = make_job(0, ZeroMode::kTextbook);
    job.training.precision.kind = Precision::kBf16;
    job.training.precision.grad_accum_dtype = "fp32";
    job.training.zero.reduce_bucket_size = 2000;  // several buckets in a layer of 12.7 thousand
    job.training.zero.overlap_comm = overlap;
    const Program p = lower(job, 0);
    std::int64_t copies = 0, largest = 0, bytes = 0, waits = 0;
    for (const Buffer& b : p.buffers) {
      if (b.category == Category::kBucket) ++copies, bytes += b.bytes();
      if (b.category == Category::kGradient) largest = std::max(largest, b.elements);
    }
    for (const Instruction& in : p.instructions) {
      if (in.label.phase != Phase::kBackward || in.lane != Lane::kCompute) continue;
      for (const OpId before : in.after) {
        waits += p.instructions[static_cast<std::size_t>(before.index)].lane == Lane::kReduce ? 1 : 0;
      }
    }
    if (overlap) {
      EXPECT_EQ(copies, 1);
      EXPECT_EQ(bytes, 2 * largest);
      EXPECT_EQ(waits, 0);
    } else {
      EXPECT_GT(copies, 3);
      EXPECT_GE(waits, copies);
    }
  }
}

TEST(ZeroTextbook, PrefetchCostsOneLayerMoreAndIsIssuedEarlier) {
  Job job = make_job(3, ZeroMode::kTextbook);
  job.training.zero.overlap_comm = false;
  const std::int64_t without = bucket_peak(job);
  job.training.zero.overlap_comm = true;
  job.training.zero.prefetch_bucket_size = 1;  // textbook always looks one layer ahead
  EXPECT_GT(bucket_peak(job), without);
  job.training.zero.max_live_parameters = 1;  // nothing may be prefetched
  const Program program = lower(job, 0);
  for (std::size_t i = 0; i + 1 < program.instructions.size(); ++i) {
    const Instruction& in = program.instructions[i];
    if (!std::holds_alternative<AllGather>(in.op) || in.label.phase != Phase::kForward || in.label.layer < 0) continue;
    std::size_t next = i + 1;
    while (std::holds_alternative<Alloc>(program.instructions[next].op)) ++next;
    EXPECT_EQ(program.instructions[next].label.layer, in.label.layer) << "gathered just before its layer";
  }
}

TEST(ZeroTextbook, SmallParametersStayWhole) {
  Job job = make_job(3, ZeroMode::kTextbook);
  job.training.zero.param_persistence_threshold = kHidden;                         // biases of size H and norms
  const std::int64_t small = kLayers * (4 * kHidden + 2 * kHidden) + 2 * kHidden;  // 2 norms, 2 biases of H a block
  const Program program = lower(job, 0);
  std::int64_t whole = 0;
  for (const Buffer& b : program.buffers) {
    if (b.category == Category::kParameter && b.name.starts_with("param.flat")) whole += b.elements;
  }
  EXPECT_ABOUT(whole, small);
}

// ---------------------------------------------------------------- as DeepSpeed does it (docs/zero_modes.md)

TEST(ZeroDeepSpeed, StagesOneAndTwoAllReduceWholeBuckets) {
  const std::int64_t p = psi(make_job(0, ZeroMode::kDeepSpeed));
  for (int accumulation : {1, 3}) {
    const auto at = [&](int stage) {
      return volumes(lower(make_job(stage, ZeroMode::kDeepSpeed, 2, accumulation), 0));
    };
    EXPECT_EQ(at(0)["all_reduce"], p);
    EXPECT_EQ(at(1)["all_reduce"], p);
    EXPECT_EQ(at(2)["all_reduce"], p * accumulation);
    EXPECT_EQ(at(1).count("reduce_scatter"), 0U);
    EXPECT_ABOUT(at(1)["all_gather"], p);
    EXPECT_ABOUT(at(3)["reduce_scatter"], p * accumulation);
  }
}

TEST(ZeroDeepSpeed, OneAllGatherOfTheWholeFlatBuffer) {
  Job job = make_job(2, ZeroMode::kDeepSpeed);
  job.training.zero.reduce_bucket_size = job.training.zero.allgather_bucket_size = 1000;  // the latter is dead
  const Program program = lower(job, 0);
  int gathers = 0;
  for (const Instruction& in : program.instructions) gathers += std::holds_alternative<AllGather>(in.op) ? 1 : 0;
  EXPECT_EQ(gathers, 1);
}

TEST(ZeroDeepSpeed, StageThreeHoldsAPermanentBucketAndItsSecondCopy) {
  Job job = make_job(3, ZeroMode::kDeepSpeed);
  job.training.zero.reduce_bucket_size = 5'000'000;  // far more than the model
  const Program program = lower(job, 0);
  EXPECT_EQ(resident(program, Category::kBucket), 5'000'000);
  const std::int64_t peak = bucket_peak(job);
  EXPECT_GE(peak, 5'000'000 + psi(job)) << "the second copy is as large as what the bucket held: all gradients";
}

TEST(ZeroDeepSpeed, ReuseDistanceKeepsASmallModelWhole) {
  Job job = make_job(3, ZeroMode::kDeepSpeed);
  job.training.zero.reduce_bucket_size = 1;
  const std::int64_t released = bucket_peak(job);
  job.training.zero.max_reuse_distance = 1'000'000'000;  // DeepSpeed's default
  const std::int64_t kept = bucket_peak(job);
  EXPECT_GE(kept, psi(job) - 2 * kHidden) << "every gathered parameter stays until its own last use (the final norm's)";
  EXPECT_LT(released, kept);
  EXPECT_ABOUT(volumes(lower(job, 0))["all_gather"], psi(job));  // and so each is gathered once a step
}

TEST(ZeroDeepSpeed, KeepsAMasterCopyEvenInFp32) {
  const std::int64_t p = psi(make_job(0, ZeroMode::kDeepSpeed));
  EXPECT_EQ(resident(lower(make_job(0, ZeroMode::kDeepSpeed), 0), Category::kMaster), 0);
  for (int stage : {1, 2, 3}) {
    EXPECT_ABOUT(resident(lower(make_job(stage, ZeroMode::kDeepSpeed, 4), 1), Category::kMaster), p / 4);
  }
}

TEST(ZeroDeepSpeed, SmallParametersAreShardedAndWhole) {
  Job job = make_job(3, ZeroMode::kDeepSpeed);
  job.training.zero.param_persistence_threshold = 1'000'000;
  EXPECT_ABOUT(resident(lower(job, 0), Category::kParameter), psi(job) + psi(job) / 2);
}

// ---------------------------------------------------------------- offload of the optimizer

Job offloaded(int stage) {
  Job job = make_job(stage, ZeroMode::kTextbook, 4);
  job.training.zero.offload_optimizer.device = OffloadDevice::kCpu;
  return job;
}

std::int64_t resident_in(const Program& program, Space space, Category category) {
  std::int64_t elements = 0;
  for (const Buffer& b : program.buffers) {
    if (b.persistent && b.space == space && b.category == category) elements += b.elements;
  }
  return elements;
}

TEST(Offload, OptimizerStateLivesOnTheHostOnly) {
  const std::int64_t p = psi(make_job(0, ZeroMode::kTextbook));
  for (int stage : {1, 2, 3}) {
    const Program program = lower(offloaded(stage), 1, {.verify = true});
    EXPECT_EQ(resident_in(program, Space::kDevice, Category::kOptimizer), 0);
    EXPECT_ABOUT(resident_in(program, Space::kPinned, Category::kOptimizer), 2 * p / 4);
    EXPECT_ABOUT(resident_in(program, Space::kPinned, Category::kMaster), p / 4);
    for (const Instruction& in : program.instructions) {
      EXPECT_TRUE(!std::holds_alternative<Adam>(in.op) || in.lane == Lane::kHost);
    }
  }
}

TEST(Offload, GradientsLeaveWhileBackwardGoesOn) {
  Job job = offloaded(2);
  job.training.zero.reduce_bucket_size = 13000;
  const Program program = lower(job, 0);
  int copies = 0, backward_after_first = 0;
  for (const Instruction& in : program.instructions) {
    copies += in.lane == Lane::kD2H && std::holds_alternative<Copy>(in.op) ? 1 : 0;
    backward_after_first += copies > 0 && std::holds_alternative<MatMul>(in.op) ? 1 : 0;
  }
  EXPECT_GE(copies, 3);
  EXPECT_GE(backward_after_first, 12);
}

TEST(Offload, RefusesWhatDeepSpeedRefuses) {
  Job job = offloaded(1);
  job.training.zero.stage = 0;
  EXPECT_THROW(lower(job, 0), Error);
}

// ---------------------------------------------------------------- passes by name

TEST(Lower, StopsAfterAPassAndRefusesUnknownOnes) {
  const Job job = make_job(1, ZeroMode::kTextbook);
  EXPECT_EQ(lower(job, 0, {.until = "layers"}).arena_bytes[0], 0);
  EXPECT_THROW(lower(job, 0, {.until = "lyaers"}), Error);
  EXPECT_THROW(lower(job, 0, {.skip = {"zero"}}), Error);
  EXPECT_THROW(lower(job, 2), Error);
  std::vector<PassRecord> log;
  lower(job, 0, {.log = &log});
  ASSERT_EQ(log.size(), pass_names().size());
  EXPECT_TRUE(log[1].changed);
}

TEST(Lower, RefusesByNameWhatIsNotBuilt) {
  Job job = make_job(1, ZeroMode::kTextbook);
  job.model.rope_scaling = "yarn";
  try {
    lower(job, 0);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    EXPECT_THAT(error.what(), testing::HasSubstr("rope_scaling"));
  }
}

}  // namespace
}  // namespace shardscope
