#pragma once
// The attention of a block: from queries, keys and values of the rows here to its output for the same rows, and back.
//
//   AttentionState state = attention.forward("h.0.attn", "h.0.", qkv);
//   attention.backward(state, "h.0.d_", d_out, d_qkv);

#include <string>

#include "core/program/passes/layer_builder.h"

namespace shardscope {

/// Queries, keys and values of some rows: matrices of their own, or side by side in the rows of one. Each region ends
/// where its last row does.
struct Qkv {
  Region q, k, v;
  std::int64_t heads = 0, kv_heads = 0, q_stride = 0, kv_stride = 0;
};

/// What attention keeps for its backward.
struct AttentionState {
  std::string module;
  Qkv in;
  Region out, lse;
};

class AttentionBuilder {
 public:
  explicit AttentionBuilder(LayerBuilder& builder) : b_(builder) {}

  /// `in` holds the rows here with positions put in; names of buffers start with `at`. The output has heads side by
  /// side.
  AttentionState forward(const std::string& module, const std::string& at, const Qkv& in);
  /// Overwrites `d_in`, which has the layout of the state's `in`.
  void backward(const AttentionState& state, const std::string& at, Region d_out, const Qkv& d_in);

 private:
  /// Puts the rows' keys and values into the builder's cache; then over the whole cache, if there were others in it.
  bool forward_over_cache(const AttentionState& state, const KvCache& cache);

  LayerBuilder& b_;
};

}  // namespace shardscope
