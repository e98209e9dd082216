// What mixed precision makes of a program: dtypes, bytes that live from step to step, and what is refused. Psi is the
// number of parameters, N the number of ranks; bytes follow from 2 per number in bf16 and 4 in fp32.
#include "core/program/passes/precision.h"

#include <gmock/gmock.h>

#include <map>

#include "core/error.h"
#include "core/program/lower.h"
#include "core/program/verify.h"

namespace shardscope {
namespace {

Job make_job(int stage, Precision precision, ZeroMode mode = ZeroMode::kTextbook, int dp = 2) {
  Job job;
  job.model = parse_model(R"({"model_type": "gpt2", "vocab_size": 64, "n_embd": 32, "n_layer": 3, "n_head": 2,
                              "n_positions": 32})",
                          "test model");
  job.parallel.dp = dp;
  job.data.seq_len = 8;
  job.zero_mode = mode;
  job.training.micro_batch = 1;
  job.training.accumulation = 2;
  job.training.train_batch_size = 2 * dp;
  job.training.precision.kind = precision;
  job.training.zero.stage = stage;
  job.training.zero.param_persistence_threshold = 0;
  job.training.zero.max_reuse_distance = 0;
  job.training.zero.reduce_bucket_size = 10000;
  return job;
}

/// Bytes that live from step to step.
std::map<Category, std::int64_t> resident(const Program& program) {
  std::map<Category, std::int64_t> bytes;
  for (const Buffer& b : program.buffers) bytes[b.category] += b.persistent ? b.bytes() : 0;
  return bytes;
}

/// The highest live bytes of a category.
std::int64_t peak(const Program& program, Category category) {
  return compute_memory_peak(program).peak_by_category.bytes[0][static_cast<std::size_t>(category)];
}

/// Padding may add a slice of 16 elements per rank and chunk, and every buffer is rounded up to 64 bytes.
#define EXPECT_ABOUT(value, expected)    \
  EXPECT_GE(value, (expected)) << where; \
  EXPECT_LE(value, (expected) + (expected) / 25 + 256) << where

DType dtype_of(const Program& program, const std::string& buffer) {
  for (const Buffer& b : program.buffers) {
    if (b.name == buffer) return b.dtype;
  }
  ADD_FAILURE() << "no buffer " << buffer;
  return DType::kI8;
}

template <class T>
const T& first_op(const Program& program) {
  for (const Instruction& in : program.instructions) {
    if (const auto* op = std::get_if<T>(&in.op)) return *op;
  }
  throw std::runtime_error("no such op");
}

TEST(Precision, DtypesFollowTheKeys) {
  Job job = make_job(1, Precision::kBf16);
  EXPECT_EQ(dtypes_of(job).gradient, DType::kBF16);
  EXPECT_EQ(dtypes_of(job).communication, DType::kBF16);
  job.training.precision.grad_accum_dtype = "fp32";
  EXPECT_EQ(dtypes_of(job).gradient, DType::kF32);
  EXPECT_EQ(dtypes_of(job).communication, DType::kBF16) << "the model's, as in DeepSpeed";
  job.training.precision.communication_data_type = "fp16";
  EXPECT_EQ(dtypes_of(job).communication, DType::kF16);
  EXPECT_FALSE(dtypes_of(make_job(1, Precision::kFp32)).has_master());
}

/// The formats of a program's products: "e4m3 e4m3", or "none none" where they stay as they are.
std::map<std::string, int> casts(const Program& program, const std::string& part_of_name = "") {
  std::map<std::string, int> count;
  for (const Instruction& in : program.instructions) {
    const auto* op = std::get_if<MatMul>(&in.op);
    if (op == nullptr || program.name(in.label.name).find(part_of_name) == std::string::npos) continue;
    ++count[std::string(to_string(op->cast_a)) + " " + std::string(to_string(op->cast_b))];
  }
  return count;
}

Job make_fp8_job(int stage, Precision precision = Precision::kBf16) {
  Job job = make_job(stage, precision);
  job.data.seq_len = 16;
  job.fp8.enabled = true;
  return job;
}

TEST(Precision, Fp8IsOfTheBlocksProductsAndGradientsAreE5M2) {
  for (const Precision precision : {Precision::kBf16, Precision::kFp16}) {
    for (const int stage : {0, 3}) {
      const Program program = lower(make_fp8_job(stage, precision), 0);
      verify(program, "fp8");
      // 3 layers of 4 linears, 2 micro-batches: forward, and backward to inputs and weights
      EXPECT_THAT(casts(program, ".h."),
                  testing::ElementsAre(testing::Pair("e4m3 e4m3", 24), testing::Pair("e4m3 e5m2", 24),
                                       testing::Pair("e5m2 e4m3", 24)));
      EXPECT_THAT(casts(program, "wte"), testing::ElementsAre(testing::Pair("none none", 6))) << "the head";
    }
  }
  Job job = make_fp8_job(1);
  job.fp8.format = Fp8Spec::Format::kE4M3;
  EXPECT_THAT(casts(lower(job, 0), ".h."), testing::ElementsAre(testing::Pair("e4m3 e4m3", 72)));
  job.fp8.enabled = false;
  EXPECT_THAT(casts(lower(job, 0)), testing::ElementsAre(testing::Pair("none none", 78)));
}

TEST(Precision, Fp8ChangesNoBufferOfAProgram) {
  Job job = make_fp8_job(3);
  const Program narrow = lower(job, 1);
  job.fp8.enabled = false;
  EXPECT_EQ(compute_memory_peak(narrow).peak_by_category, compute_memory_peak(lower(job, 1)).peak_by_category);
}

TEST(Precision, Fp8LeavesOutProductsOfOtherSizes) {
  Job job = make_fp8_job(1);
  job.model.intermediate = 24;
  EXPECT_THAT(casts(lower(job, 0), "attn"), testing::SizeIs(3));
  EXPECT_THAT(casts(lower(job, 0), "mlp"), testing::ElementsAre(testing::Pair("none none", 36)));
}

TEST(Precision, Fp8IsRefusedWhereItCannotBe) {
  const auto refusal = [](const Job& job) {
    try {
      lower(job, 0);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("lowered");
  };
  EXPECT_THAT(refusal(make_fp8_job(1, Precision::kFp32)), testing::HasSubstr("fp8.enabled: what is not a product"));
  Job job = make_fp8_job(1);
  job.data.seq_len = 24;
  EXPECT_THAT(refusal(job), testing::HasSubstr("has 24 tokens (1 sequences of 24)"));
  job = make_fp8_job(1);
  job.model.hidden = 40;
  EXPECT_THAT(refusal(job), testing::HasSubstr("hidden size is 40"));
}

TEST(Precision, StatisticsStayInFp32) {
  const Program program = lower(make_job(0, Precision::kBf16), 0);
  EXPECT_EQ(dtype_of(program, "h.1.ln_1.mb0"), DType::kBF16);
  EXPECT_EQ(dtype_of(program, "logits.mb0"), DType::kBF16);
  for (const char* statistic : {"h.1.ln_1.mean.mb0", "h.1.ln_1.rstd.mb0", "h.1.lse.mb0", "loss", "grad_norm"}) {
    EXPECT_EQ(dtype_of(program, statistic), DType::kF32) << statistic;
  }
}

TEST(Precision, TextbookKeepsSixteenBytesPerParameterSharded) {
  for (const Precision precision : {Precision::kBf16, Precision::kFp16}) {
    for (const int stage : {0, 1, 2, 3}) {
      const Job job = make_job(stage, precision);
      const std::int64_t psi = parameter_count(job.model), part = stage == 0 ? psi : psi / 2;
      const Program program = lower(job, 0);
      const auto bytes = resident(program);
      const std::string where = "stage " + std::to_string(stage);
      EXPECT_ABOUT(bytes.at(Category::kParameter), stage == 3 ? 2 * part : 2 * psi);
      EXPECT_ABOUT(bytes.at(Category::kMaster), 4 * part);
      EXPECT_ABOUT(bytes.at(Category::kOptimizer), 8 * part);
      EXPECT_ABOUT(peak(program, Category::kGradient), stage >= 2 ? 2 * part : 2 * psi);
      verify(program, where);
    }
  }
}

TEST(Precision, AdamLeavesTheRoundedCopyInTheSamePass) {
  const Program program = lower(make_job(1, Precision::kBf16), 0);
  const auto& adam = first_op<Adam>(program);
  EXPECT_EQ(program.buffer(adam.param.buffer).category, Category::kMaster);
  EXPECT_EQ(program.buffer(adam.copy.buffer).category, Category::kParameter);
  EXPECT_EQ(program.buffer(adam.copy.buffer).dtype, DType::kBF16);
  EXPECT_EQ(program.buffer(adam.grad.buffer).dtype, DType::kBF16);
  EXPECT_EQ(adam.overflow, program.overflow);
  EXPECT_EQ(first_op<ClipCoefficient>(program).overflow, program.overflow);
  EXPECT_TRUE(lower(make_job(1, Precision::kFp32), 0).overflow.empty());
}

TEST(Precision, GradientsInFp32AreSentInTheModelsDtype) {
  for (const int stage : {0, 1, 2, 3}) {
    Job job = make_job(stage, Precision::kBf16);
    job.training.precision.grad_accum_dtype = "fp32";
    const Program program = lower(job, 0);
    for (const Instruction& in : program.instructions) {
      if (const auto* op = std::get_if<ReduceScatter>(&in.op)) {
        EXPECT_EQ(program.buffer(op->in.buffer).dtype, DType::kBF16);
      }
    }
    EXPECT_EQ(program.buffer(first_op<Adam>(program).grad.buffer).dtype, DType::kF32) << "stage " << stage;
    verify(program, "fp32 gradients");
  }
}

TEST(Precision, OffloadMovesGradientsAndParametersInSixteenBits) {
  Job job = make_job(2, Precision::kBf16);
  job.training.zero.offload_optimizer.device = OffloadDevice::kCpu;
  const Program program = lower(job, 0);
  for (const Instruction& in : program.instructions) {
    const auto* copy = std::get_if<Copy>(&in.op);
    if (copy == nullptr || copy->src.count < 2) continue;
    EXPECT_EQ(program.bytes(copy->src), 2 * copy->src.count) << program.buffer(copy->src.buffer).name;
    EXPECT_EQ(program.bytes(copy->dst), 2 * copy->dst.count) << program.buffer(copy->dst.buffer).name;
  }
  const auto& adam = first_op<Adam>(program);
  EXPECT_EQ(program.buffer(adam.param.buffer).space, Space::kPinned);
  EXPECT_EQ(program.buffer(adam.copy.buffer).space, Space::kPinned);
  EXPECT_EQ(program.buffer(adam.overflow.buffer).space, Space::kPinned);
}

// ---------------------------------------------------------------- deepspeed mode; facts: docs/zero_modes.md

TEST(PrecisionDeepSpeed, StageTwoHoldsEighteenBytesPerParameterInItsStep) {
  const Job job = make_job(2, Precision::kBf16, ZeroMode::kDeepSpeed);
  const std::int64_t psi = parameter_count(job.model);
  const Program program = lower(job, 0);
  const std::string where = "stage 2";
  const auto bytes = resident(program);
  EXPECT_ABOUT(bytes.at(Category::kParameter), 2 * psi);
  EXPECT_ABOUT(bytes.at(Category::kMaster) + bytes.at(Category::kOptimizer), 12 * psi / 2);
  // in the step: the partition and its flat copy in bf16, and the fp32 copy of that: (2 + 2 + 4) Psi / N
  EXPECT_ABOUT(peak(program, Category::kGradient), 8 * psi / 2);
}

TEST(PrecisionDeepSpeed, StageZeroHoldsTwentyBytesPerParameter) {
  const Job job = make_job(0, Precision::kFp16, ZeroMode::kDeepSpeed);
  const std::int64_t psi = parameter_count(job.model);
  const Program program = lower(job, 0);
  const std::string where = "stage 0";
  const auto bytes = resident(program);
  EXPECT_ABOUT(bytes.at(Category::kParameter) + bytes.at(Category::kMaster) + bytes.at(Category::kOptimizer), 14 * psi);
  EXPECT_LE(peak(program, Category::kGradient), 6 * psi + psi / 10);
}

TEST(PrecisionDeepSpeed, Bf16OptimizerKeepsAllGradientsInFp32) {
  Job job = make_job(1, Precision::kBf16, ZeroMode::kDeepSpeed);
  job.training.precision.grad_accum_dtype = "fp32";
  const std::int64_t psi = parameter_count(job.model);
  const Program program = lower(job, 0);
  const std::string where = "BF16_Optimizer";
  EXPECT_ABOUT(resident(program).at(Category::kGradient), 4 * psi);
  EXPECT_ABOUT(peak(program, Category::kGradient), 6 * psi);  // and the bf16 gradients of one micro-batch
  const auto& reduce = first_op<AllReduce>(program);
  EXPECT_EQ(program.buffer(reduce.data.buffer).dtype, DType::kBF16);
  EXPECT_ABOUT(reduce.data.count, psi);
  EXPECT_TRUE(program.overflow.empty());
}

TEST(PrecisionDeepSpeed, TheOverflowTestHasTemporariesOfItsOwn) {
  // Of the largest tensor, Psi_t numbers: two fp32 copies and three flags of a byte.
  const Job job = make_job(2, Precision::kFp16, ZeroMode::kDeepSpeed, 1);
  const std::int64_t largest = 4 * 32 * 32;  // of the MLP
  EXPECT_GE(peak(lower(job, 0), Category::kWorkspace), 11 * largest);
}

void expect_refused(const Job& job, ErrorKind kind, const char* what) {
  try {
    lower(job, 0);
    FAIL() << what;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    EXPECT_THAT(error.what(), testing::HasSubstr(what));
  }
}

TEST(Precision, RefusesMixesWithoutMeaning) {
  Job job = make_job(2, Precision::kFp32);
  job.training.precision.grad_accum_dtype = "bf16";
  expect_refused(job, ErrorKind::kConfig, "data_types.grad_accum_dtype: is bf16 for a model in f32");
  job = make_job(2, Precision::kBf16);
  job.training.precision.grad_accum_dtype = "fp16";
  expect_refused(job, ErrorKind::kConfig, "must be the model's, or fp32");
  job = make_job(1, Precision::kFp16, ZeroMode::kDeepSpeed);
  job.training.precision.grad_accum_dtype = "fp32";
  expect_refused(job, ErrorKind::kUnsupported, "zero_mode deepspeed at stage 1");
}

}  // namespace
}  // namespace shardscope
