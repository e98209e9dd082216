#pragma once
// What a plan takes where nobody says it: sequence length and batch by the model's size.
//
//   workload.seq = default_seq(model);  request.global_batch = default_global_batch(model, workload.seq);

#include <cstdint>

#include "core/spec/model_spec.h"

namespace shardscope {

/// The model's positions, at most 8,192.
std::int64_t default_seq(const ModelSpec&);

/// Sequences of GPT-3's batches (arXiv 2005.14165, table 2.1: 0.5 M to 3.2 M tokens by size), as 2^k or 3 * 2^k.
std::int64_t default_global_batch(const ModelSpec&, std::int64_t seq);

}  // namespace shardscope
