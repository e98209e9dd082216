#include "core/program/passes/precision.h"

#include <fmt/format.h>

#include "core/error.h"

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

void check_precision(const Job& job) {
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
