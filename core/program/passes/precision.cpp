#include "core/program/passes/precision.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/program/ops.h"

namespace shardscope {
namespace {

DType model_dtype(Precision precision) {
  if (precision == Precision::kBf16) return DType::kBF16;
  return precision == Precision::kFp16 ? DType::kF16 : DType::kF32;
}

/// "" means the model's.
DType named_dtype(const std::string& name, DType model) {
  if (name.empty()) return model;
  if (name == "bf16") return DType::kBF16;
  return name == "fp16" ? DType::kF16 : DType::kF32;
}

}  // namespace

TrainingDtypes dtypes_of(const Job& job) {
  const PrecisionSpec& spec = job.training.precision;
  const DType model = model_dtype(spec.kind);
  return {model, named_dtype(spec.grad_accum_dtype, model), named_dtype(spec.communication_data_type, model)};
}

bool is_bf16_optimizer(const Job& job) {
  const TrainingDtypes types = dtypes_of(job);
  return job.zero_mode == ZeroMode::kDeepSpeed && job.training.zero.stage == 1 && types.model == DType::kBF16 &&
         types.gradient == DType::kF32;
}

bool skips_overflow(const Job& job) {
  const PrecisionSpec& spec = job.training.precision;
  if (spec.kind != Precision::kBf16) return spec.kind == Precision::kFp16;
  const bool is_untested =
      job.zero_mode == ZeroMode::kDeepSpeed && (job.training.zero.stage == 3 || is_bf16_optimizer(job));
  return spec.check_grad_overflow && !is_untested;
}

namespace {

/// Without these two no product of a block could be in fp8; of others some may not.
void check_fp8(const Job& job) {
  if (!job.fp8.enabled) return;
  const auto fail = [](const std::string& what) { throw Error(ErrorKind::kConfig, "fp8.enabled: " + what); };
  if (job.training.precision.kind == Precision::kFp32) {
    fail("what is not a product stays in 16 bits; set bf16.enabled (or fp16.enabled) of deepspeed too");
  }
  const std::int64_t rows = job.training.micro_batch * (job.data.seq_len / job.parallel.cp);
  if (rows % kFp8Multiple != 0) {
    fail(fmt::format("a rank's micro-batch has {} tokens ({} sequences of {}); fp8 products want a multiple of {}",
                     rows, job.training.micro_batch, job.data.seq_len / job.parallel.cp, kFp8Multiple));
  }
  if (job.model.hidden % kFp8Multiple != 0) {
    fail(fmt::format("the model's hidden size is {}; fp8 products want a multiple of {}", job.model.hidden,
                     kFp8Multiple));
  }
}

}  // namespace

void check_precision(const Job& job) {
  check_fp8(job);
  const TrainingDtypes types = dtypes_of(job);
  if (types.gradient != types.model && types.gradient != DType::kF32) {
    throw Error(ErrorKind::kConfig,
                fmt::format("data_types.grad_accum_dtype: is {} for a model in {}; it must be the model's, or fp32",
                            to_string(types.gradient), to_string(types.model)));
  }
  if (job.zero_mode == ZeroMode::kTextbook || types.gradient == types.model || is_bf16_optimizer(job)) return;
  if (job.training.zero.stage <= 1) {
    throw Error(ErrorKind::kUnsupported,
                fmt::format("data_types.grad_accum_dtype: zero_mode deepspeed at stage {} with a model in {} and "
                            "gradients added up in fp32 is not built; use stage 2 or 3, or zero_mode textbook",
                            job.training.zero.stage, to_string(types.model)));
  }
}

}  // namespace shardscope
