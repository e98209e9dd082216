#include "core/program/passes/attention_builder.h"

namespace shardscope {

AttentionState AttentionBuilder::forward(const std::string& module, const std::string& at, const Qkv& in) {
  const std::int64_t d = b_.model().head_dim;
  AttentionState s{module, in, b_.temporary(at + "attention", b_.rows() * in.heads * d),
                   b_.temporary(at + "lse", b_.rows() * in.heads)};
  b_.emit(Attention{in.q, in.k, in.v, s.out, s.lse, b_.batch(), b_.seq(), in.heads, in.kv_heads, d, in.q_stride,
                    in.kv_stride},
          module);
  return s;
}

void AttentionBuilder::backward(const AttentionState& s, const std::string&, Region d_out, const Qkv& d_in) {
  const Qkv& in = s.in;
  b_.emit(AttentionBackward{d_out, in.q, in.k, in.v, s.out, s.lse, d_in.q, d_in.k, d_in.v, b_.batch(), b_.seq(),
                            in.heads, in.kv_heads, b_.model().head_dim, in.q_stride, in.kv_stride},
          s.module);
}

}  // namespace shardscope
