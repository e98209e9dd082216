#pragma once
// The attention of a block: from queries, keys and values of the rows here to its output for the same rows, and back.
// Where ranks share a sequence, Ulysses neighbours swap rows for heads around it, and the ring passes keys on inside.
//
//   AttentionState state = attention.forward("h.0.attn", "h.0.", qkv);
//   attention.backward(state, "h.0.d_", d_out, d_qkv);

#include <array>
#include <string>

#include "core/program/passes/head_exchange.h"
#include "core/program/passes/ring_attention.h"

namespace shardscope {

class AttentionBuilder {
 public:
  explicit AttentionBuilder(LayerBuilder& builder)
      : b_(builder), exchange_(builder), ring_(builder, builder.seq() * exchange_.ranks()) {}

  /// `in` holds the rows here with positions put in; names of buffers start with `at`.
  AttentionState forward(const std::string& module, const std::string& at, const Qkv& in);
  /// Overwrites `d_in`, which has the layout of forward's `in`.
  void backward(const AttentionState& state, const std::string& at, Region d_out, const Qkv& d_in);

 private:
  /// Puts the rows' keys and values into the builder's cache; then over the whole cache, if there were others in it.
  bool forward_over_cache(const AttentionState& state, const KvCache& cache);
  /// What each neighbour gets of all heads, and of the output of all heads.
  std::array<HeadColumns, 3> shares(const Qkv& all) const;
  HeadColumns share(Region out, const Qkv& all) const;
  /// The share of one, of all neighbours' rows: a matrix with q, k and v side by side.
  Qkv side_by_side(Region matrix, const Qkv& all) const;

  LayerBuilder& b_;
  HeadExchange exchange_;
  RingAttention ring_;
};

}  // namespace shardscope
