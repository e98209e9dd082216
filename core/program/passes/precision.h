#pragma once
// In which dtypes a job computes: what bf16, fp16, data_types.grad_accum_dtype and communication_data_type say
// together. Statistics (means, norms, log-sum-exps, the loss), master weights and moments are always fp32.
//
//   draft.dtypes = dtypes_of(job);

#include "core/program/types.h"
#include "core/spec/job.h"

namespace shardscope {

struct TrainingDtypes {
  DType model = DType::kF32;          ///< parameters, activations and gradients of activations
  DType gradient = DType::kF32;       ///< gradients of parameters, summed over micro-batches
  DType communication = DType::kF32;  ///< the same while they are summed over data-parallel ranks
  bool has_master() const { return model != DType::kF32; }
};

TrainingDtypes dtypes_of(const Job& job);

/// Whether a step whose gradients overflowed is skipped: fp16, and bf16 unless told otherwise; in deepspeed mode where
/// DeepSpeed tests at all.
bool skips_overflow(const Job& job);

/// Whether DeepSpeed would use BF16_Optimizer: stage 1, bf16, gradients added up in fp32.
bool is_bf16_optimizer(const Job& job);

/// Throws Error{kConfig} for a mix without meaning, Error{kUnsupported} naming what is not built.
void check_precision(const Job& job);

}  // namespace shardscope
