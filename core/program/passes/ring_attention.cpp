#include "core/program/passes/ring_attention.h"

#include <fmt/format.h>

#include "core/program/passes/sequence_parallel.h"

namespace shardscope {

RingAttention::RingAttention(LayerBuilder& builder, std::int64_t rows) : b_(builder), rows_(rows) {
  const Draft& draft = b_.draft();
  if (!draft.ring_group.valid()) return;
  ranks_ = draft.program.group(draft.ring_group).size();
  place_ = draft.program.group(draft.ring_group).self;
}

void RingAttention::forward(const AttentionState& s, const std::string& at) {
  Region packed = ranks_ > 1 ? pack(s, at + "ring.kv") : Region{};
  for (std::int64_t step = 0; step < ranks_; ++step) {
    const Qkv now = step == 0 ? s.in : with_packed(s.in, packed);
    const Region sent = packed;
    // What the next step needs travels while this one computes.
    if (step + 1 < ranks_) packed = pass_on(s, sent, fmt::format("{}ring.kv.{}", at, step + 1));
    b_.emit(Attention{now.q, now.k, now.v, s.attended, s.lse, b_.batch(), rows_, now.heads, now.kv_heads,
                      b_.model().head_dim, now.q_stride, now.kv_stride, span(step), step > 0},
            s.module);
    if (step + 1 < ranks_) hold(s, sent);
  }
}

void RingAttention::backward(const AttentionState& s, const std::string& at, Region d_out, const Qkv& d_in) {
  if (ranks_ == 1) return emit_backward(s, s.in, d_out, d_in, 0);
  Region packed = pack(s, at + "ring.kv"), home, travelling, sent;
  for (std::int64_t step = 0; step < ranks_; ++step) {
    const Qkv now = with_packed(s.in, packed);  // of the same strides as their gradients
    const Region share = scratch(fmt::format("{}ring.share.{}", at, step), packed.count);
    if (step + 1 < ranks_) packed = pass_on(s, packed, fmt::format("{}ring.kv.{}", at, step + 1));
    emit_backward(s, now, d_out, with_packed(d_in, share), step);
    if (step == 0) {
      home = share;
      continue;
    }
    if (step > 1) {
      hold(s, sent);
      b_.emit(Accumulate{share, travelling}, s.module);
    }
    sent = step > 1 ? travelling : share;
    travelling = pass_on(s, sent, fmt::format("{}ring.sum.{}", at, step));
  }
  b_.emit(Accumulate{travelling, home}, s.module);
  unpack(s, home, d_in);
}

void RingAttention::emit_backward(const AttentionState& s, const Qkv& now, Region d_out, const Qkv& d_now,
                                  std::int64_t step) {
  b_.emit(AttentionBackward{d_out, now.q, now.k, now.v, s.attended, s.lse, d_now.q, d_now.k, d_now.v, b_.batch(), rows_,
                            now.heads, now.kv_heads, b_.model().head_dim, now.q_stride, now.kv_stride, span(step),
                            step > 0},
          s.module);
}

Region RingAttention::pack(const AttentionState& s, const std::string& name) {
  const std::int64_t width = s.in.kv_heads * b_.model().head_dim;
  const Region packed = scratch(name, all_rows() * 2 * width);
  const Qkv to = with_packed(s.in, packed);
  b_.emit(CopyRows{s.in.k, to.k, all_rows(), width, s.in.kv_stride, to.kv_stride}, s.module);
  b_.emit(CopyRows{s.in.v, to.v, all_rows(), width, s.in.kv_stride, to.kv_stride}, s.module);
  return packed;
}

void RingAttention::unpack(const AttentionState& s, Region packed, const Qkv& to) {
  const std::int64_t width = s.in.kv_heads * b_.model().head_dim;
  const Qkv from = with_packed(to, packed);
  b_.emit(CopyRows{from.k, to.k, all_rows(), width, from.kv_stride, to.kv_stride}, s.module);
  b_.emit(CopyRows{from.v, to.v, all_rows(), width, from.kv_stride, to.kv_stride}, s.module);
}

Region RingAttention::pass_on(const AttentionState& s, Region what, const std::string& name) {
  const Region arrived = scratch(name, what.count);
  b_.emit(RingShift{b_.draft().ring_group, what, arrived}, s.module, Lane::kContext);
  return arrived;
}

Qkv RingAttention::with_packed(const Qkv& in, Region packed) const {
  const std::int64_t width = in.kv_heads * b_.model().head_dim;
  Qkv result = in;
  result.kv_stride = 2 * width;
  result.k = columns(packed, all_rows(), result.kv_stride, 0, width);
  result.v = columns(packed, all_rows(), result.kv_stride, width, width);
  return result;
}

AttentionSpan RingAttention::span(std::int64_t step) const {
  if (step == 0) return {};  // among the rows here, the order of positions is that of rows
  const std::int64_t from = (place_ - step + ranks_) % ranks_;
  return {ring_part(ranks_ * rows_, ranks_, place_), ring_part(ranks_ * rows_, ranks_, from)};
}

}  // namespace shardscope
