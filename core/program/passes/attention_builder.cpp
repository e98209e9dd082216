#include "core/program/passes/attention_builder.h"

namespace shardscope {

std::array<HeadColumns, 3> AttentionBuilder::shares(const Qkv& all) const {
  const std::int64_t d = b_.model().head_dim, ranks = exchange_.ranks();
  return {{{all.q, all.q_stride, all.heads / ranks * d},
           {all.k, all.kv_stride, all.kv_heads / ranks * d},
           {all.v, all.kv_stride, all.kv_heads / ranks * d}}};
}

HeadColumns AttentionBuilder::share(Region out, const Qkv& all) const {
  const std::int64_t width = all.heads * b_.model().head_dim;
  return {out, width, width / exchange_.ranks()};
}

Qkv AttentionBuilder::side_by_side(Region matrix, const Qkv& all) const {
  const auto [q, k, v] = shares(all);
  const std::int64_t rows = b_.rows() * exchange_.ranks(), stride = q.width + k.width + v.width;
  return {columns(matrix, rows, stride, 0, q.width),
          columns(matrix, rows, stride, q.width, k.width),
          columns(matrix, rows, stride, q.width + k.width, v.width),
          all.heads / exchange_.ranks(),
          all.kv_heads / exchange_.ranks(),
          stride,
          stride};
}

AttentionState AttentionBuilder::forward(const std::string& module, const std::string& at, const Qkv& in) {
  AttentionState s{module, in};
  const bool swaps = exchange_.ranks() > 1;
  if (swaps) s.in = side_by_side(exchange_.to_heads(module, at + "qkv", shares(in)), in);
  s.attended = s.out = b_.temporary(at + "attention", b_.rows() * in.heads * b_.model().head_dim);
  s.lse = b_.statistic(at + "lse", b_.rows() * in.heads);
  if (b_.cache() && forward_over_cache(s, *b_.cache())) return s;
  ring_.forward(s, at);
  if (swaps) {
    s.out = b_.temporary(at + "attention.rows", s.attended.count);
    exchange_.to_rows(module, at + "attention", s.attended, std::array{share(s.out, in)});
  }
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

void AttentionBuilder::backward(const AttentionState& s, const std::string& at, Region d_out, const Qkv& d_in) {
  if (exchange_.ranks() == 1) return ring_.backward(s, at, d_out, d_in);
  const Region d_attended = exchange_.to_heads(s.module, at + "attention", std::array{share(d_out, d_in)});
  const std::int64_t heads = d_in.heads + 2 * d_in.kv_heads;
  const Region d_heads = b_.temporary(at + "qkv.heads", b_.rows() * heads * b_.model().head_dim);
  ring_.backward(s, at, d_attended, side_by_side(d_heads, d_in));
  exchange_.to_rows(s.module, at + "qkv", d_heads, shares(d_in));
}

}  // namespace shardscope
