#pragma once
// Queries, keys and values wherever they lie, and what attention keeps for its backward.

#include <cstdint>
#include <string>

#include "core/program/types.h"

namespace shardscope {

/// Queries, keys and values of some rows: matrices of their own, or side by side in the rows of one. Each region ends
/// where its last row does.
struct Qkv {
  Region q, k, v;
  std::int64_t heads = 0, kv_heads = 0, q_stride = 0, kv_stride = 0;
};

struct AttentionState {
  std::string module;
  Qkv in;                ///< what the attention ops read
  Region attended, lse;  ///< what they write
  Region out;            ///< the same for the rows here, heads side by side: what the block goes on with
};

/// Columns [first, first + width) of a matrix of `rows` rows, up to where the last of them ends.
inline Region columns(const Region& matrix, std::int64_t rows, std::int64_t stride, std::int64_t first,
                      std::int64_t width) {
  return matrix.part(first, (rows - 1) * stride + width);
}

}  // namespace shardscope
