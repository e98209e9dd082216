#include "core/program/passes/attention_builder.h"

namespace shardscope {

AttentionState AttentionBuilder::forward(const std::string& module, const std::string& at, const Qkv& in) {
  const std::int64_t d = b_.model().head_dim;
  AttentionState s{module, in, b_.temporary(at + "attention", b_.rows() * in.heads * d),
                   b_.statistic(at + "lse", b_.rows() * in.heads)};
  if (b_.cache() && forward_over_cache(s, *b_.cache())) return s;
  b_.emit(Attention{in.q, in.k, in.v, s.out, s.lse, b_.batch(), b_.seq(), in.heads, in.kv_heads, d, in.q_stride,
                    in.kv_stride},
          module);
  return s;
}

bool AttentionBuilder::forward_over_cache(const AttentionState& s, const KvCache& cache) {
  const auto layer = static_cast<std::size_t>(b_.layer());
  const Region keys = cache.keys[layer], values = cache.values[layer];
  const Qkv& in = s.in;
  const std::int64_t d = b_.model().head_dim;
  b_.emit(AppendCache{in.k, in.v, cache.starts, keys, values, b_.batch(), b_.seq(), in.kv_heads, d, in.kv_stride,
                      cache.capacity},
          s.module);
  if (cache.starts.empty()) return false;  // attention among the rows themselves is all there is
  b_.emit(CachedAttention{in.q, cache.starts, keys, values, s.out, b_.batch(), b_.seq(), in.heads, in.kv_heads, d,
                          in.q_stride, cache.capacity, cache.context},
          s.module);
  return true;
}

void AttentionBuilder::backward(const AttentionState& s, const std::string&, Region d_out, const Qkv& d_in) {
  const Qkv& in = s.in;
  b_.emit(AttentionBackward{d_out, in.q, in.k, in.v, s.out, s.lse, d_in.q, d_in.k, d_in.v, b_.batch(), b_.seq(),
                            in.heads, in.kv_heads, b_.model().head_dim, in.q_stride, in.kv_stride},
          s.module);
}

}  // namespace shardscope
