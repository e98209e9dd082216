#pragma once
// What another framework needs to repeat a run of ours from the same start: tests/peers reads both.

#include <string>

#include "core/engine/sequence_source.h"
#include "core/spec/job.h"

namespace shardscope::cli {

/// The initial weights, fp32, under their Hugging Face names, as safetensors. Throws Error{kIo}.
void dump_weights(const Job& job, const std::string& path);

/// The sequences of every step, as tensor "tokens" i32 [steps, train_batch, seq_len + 1]. Throws Error{kIo}.
void dump_batches(const SequenceSource& data, const Job& job, const std::string& path);

}  // namespace shardscope::cli
