#pragma once
// Attention over sequences whose keys lie on the ranks of a ring. Keys and values go round, one place further in each
// step, while the queries here meet those that have come: partial outputs are merged on the way. In backward the keys'
// gradients travel along, one step behind, until they are home. A ring of one is plain attention.
//
//   ring.forward(state, "h.0.");   ...   ring.backward(state, "h.0.d_", d_attended, d_qkv);

#include <string>

#include "core/program/passes/attention_state.h"
#include "core/program/passes/layer_builder.h"

namespace shardscope {

class RingAttention {
 public:
  /// `rows` of each sequence are in what the ops get.
  RingAttention(LayerBuilder& builder, std::int64_t rows);

  /// Names of new buffers begin with `at`.
  void forward(const AttentionState& state, const std::string& at);
  /// Overwrites d_in, which has the layout of the state's `in`.
  void backward(const AttentionState& state, const std::string& at, Region d_out, const Qkv& d_in);

 private:
  void emit_backward(const AttentionState& state, const Qkv& now, Region d_out, const Qkv& d_now, std::int64_t step);
  /// Keys and values side by side in the rows of a new buffer: what travels.
  Region pack(const AttentionState& state, const std::string& name);
  void unpack(const AttentionState& state, Region packed, const Qkv& to);
  Region pass_on(const AttentionState& state, Region what, const std::string& name);
  /// Keeps what was sent until here, where the lane waits for what came in its place: if the op before took its memory,
  /// that would wait for the message too.
  void hold(const AttentionState& state, Region sent) { b_.emit(Hold{sent}, state.module); }
  /// `in` with the keys and values of a packed buffer.
  Qkv with_packed(const Qkv& in, Region packed) const;
  /// Which keys the queries here meet in a step.
  AttentionSpan span(std::int64_t step) const;
  std::int64_t all_rows() const { return b_.batch() * rows_; }
  Region scratch(const std::string& name, std::int64_t elements) {
    return b_.temporary(name, elements, Category::kBucket, b_.draft().dtypes.model);
  }

  LayerBuilder& b_;
  std::int64_t rows_, ranks_ = 1, place_ = 0;
};

}  // namespace shardscope
