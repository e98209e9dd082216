// Attention of one key/value head, block by block: kQueries rows of queries against kKeys keys at a time, so that the
// scores stay in the second-level cache and are never stored. What a query sees is always the first keys, and later
// queries see at least as many; beyond, nothing is computed but up to the edge of a register tile.
// Legend: K keys that any query sees, d head size, P(n) n padded to whole vectors.
#include "kernels/cpu/loops/block_gemm.h"
#include "kernels/cpu/loops/half.h"
#include "kernels/cpu/loops/loops.h"
#include "kernels/cpu/loops/softmax.h"
#include "kernels/cpu/loops/transpose.h"

namespace shardscope::SS_ISA {
namespace {

constexpr std::int64_t kQueries = 8 * kTileRows, kKeys = 256;

SS_INLINE std::int64_t clamped(std::int64_t n, std::int64_t most) { return n < 0 ? 0 : least(n, most); }

/// How many keys a query sees, which are the first ones: positions grow with rows.
SS_INLINE std::int64_t keys_seen(const AttentionShape& s, std::int64_t query) {
  const std::int64_t position = s.queries.start + query + (2 * query >= s.queries.count ? s.queries.jump : 0);
  const std::int64_t ahead = position + 1 - s.keys.start, early = (s.keys.count + 1) / 2;
  return clamped(ahead, early) + clamped(ahead - s.keys.jump - early, s.keys.count - early);
}

/// Queries of one head, and how many keys each sees.
struct Queries {
  std::int64_t first, count;
  std::int64_t keys = 0;  ///< that the last sees, and so any
  std::int64_t seen[kQueries];

  Queries(const AttentionShape& s, std::int64_t from) : first(from), count(least(kQueries, s.queries.count - from)) {
    for (std::int64_t r = 0; r < count; ++r) keys = seen[r] = keys_seen(s, from + r);
  }
};

/// Queries against keys [key, key + keys). Row i sees the first visible(i) of them.
struct Tile {
  const Queries& q;
  std::int64_t queries, key, keys;
  std::int64_t visible(std::int64_t row) const { return clamped(q.seen[row] - key, keys); }
};

/// Cuts the keys that the queries see into tiles and calls f for each.
template <class Body>
SS_INLINE void for_each_tile(const Queries& q, Body&& f) {
  for (std::int64_t key = 0; key < q.keys; key += kKeys) f(Tile{q, q.count, key, least(kKeys, q.keys - key)});
}

/// out [queries, kKeys] = a [queries, d] b [d, keys], as far as each strip of rows can see.
SS_INLINE void scores(const Tile& t, const float* a, std::int64_t width, const float* b, std::int64_t ldb,
                      std::int64_t d, float* out) {
  for (std::int64_t r = 0; r < t.queries; r += kTileRows) {
    const std::int64_t rows = least(kTileRows, t.queries - r);
    multiply_strip<false>(Block{a + r * width, width, 1}, b + t.key, ldb, out + r * kKeys, kKeys, rows,
                          padded(t.visible(r + rows - 1)), d);
  }
}

/// out [queries, width] += p [queries, keys] b [keys, width].
SS_INLINE void add_over_keys(const Tile& t, const float* p, const float* b, std::int64_t width, float* out) {
  for (std::int64_t r = 0; r < t.queries; r += kTileRows) {
    const std::int64_t rows = least(kTileRows, t.queries - r);
    multiply_strip<true>(Block{p + r * kKeys, kKeys, 1}, b + t.key * width, width, out + r * width, width, rows, width,
                         t.visible(r + rows - 1));
  }
}

/// out [keys, width] += transpose of p [queries, keys] * b [queries, width].
SS_INLINE void add_over_queries(const Tile& t, const float* p, const float* b, std::int64_t width, float* out) {
  std::int64_t first = 0;
  for (std::int64_t j = 0; j < t.keys; j += kTileRows) {
    while (t.q.seen[first] <= t.key + j) ++first;  // these do not see key j; the last does
    multiply_strip<true>(Block{p + first * kKeys + j, 1, kKeys}, b + first * width, width, out + (t.key + j) * width,
                         width, least(kTileRows, t.keys - j), width, t.queries - first);
  }
}

SS_INLINE void softmax_tile(const Tile& t, float* p, Running* running, float* out, std::int64_t width) {
  for (std::int64_t r = 0; r < t.queries; ++r) {
    const std::int64_t strip_end = least(r / kTileRows * kTileRows + kTileRows, t.queries);
    if (t.visible(strip_end - 1) == 0) continue;
    const std::int64_t to = padded(t.visible(strip_end - 1));
    if (t.visible(r) == 0) {
      clear(p + r * kKeys, to);
      continue;
    }
    const float factor = exponentials(p + r * kKeys, t.visible(r), to, running[r]);
    if (factor != 1.0f) {
      for (std::int64_t c = 0; c < width; c += kWidth) store(out + r * width + c, load(out + r * width + c) * factor);
    }
  }
}

std::int64_t scratch_floats(const AttentionShape& s) {
  const std::int64_t width = padded(s.head_dim), keys = s.keys.count * width;
  const std::int64_t transposed = s.head_dim * padded(s.keys.count);
  return 3 * keys + 2 * transposed + kQueries * (3 * width + 2 * kKeys + 3);
}

/// Where the softmax of queries starts: at nothing, or, to merge, at what `to` and `lse` hold; `out` is not normalised.
template <class T>
SS_INLINE void start(const AttentionShape& s, std::int64_t n, const T* to, const float* lse, Running* running,
                     float* out) {
  if (s.add) {
    pack(to, s.out_stride, n, s.head_dim, 1.0f, out);
    for (std::int64_t r = 0; r < n; ++r) running[r] = {lse[r], 1};
  } else {
    clear(out, n * padded(s.head_dim));
    for (std::int64_t r = 0; r < n; ++r) running[r] = {-__builtin_inff(), 0};
  }
}

template <class T>
SS_INLINE void finish(const AttentionShape& s, std::int64_t n, const Running* running, const float* out, T* to,
                      float* lse) {
  for (std::int64_t r = 0; r < n; ++r) {
    const float inverse = running[r].sum > 0 ? 1.0f / running[r].sum : 0;  // 0: sees no key
    const float* from = out + r * padded(s.head_dim);
    for_each_vector(s.head_dim, [&](auto c) { store(to + r * s.out_stride, c, load(from, c) * inverse); });
    lse[r] = running[r].top + log_of(running[r].sum);
  }
}

template <class T>
void forward_of(const AttentionShape& s, const AttentionHead& h, float* scratch) {
  const auto *h_q = static_cast<const T*>(h.q), *h_k = static_cast<const T*>(h.k), *h_v = static_cast<const T*>(h.v);
  const std::int64_t n = s.queries.count, most = n > 0 ? keys_seen(s, n - 1) : 0;
  const std::int64_t d = s.head_dim, width = padded(d), ld = padded(most);
  float* keys = scratch;              // k transposed [d, P(K)]
  float* values = keys + d * ld;      // v [K, P(d)]
  float* q = values + most * width;   // [kQueries, P(d)], scaled
  float* out = q + kQueries * width;  // [kQueries, P(d)]
  float* p = out + kQueries * width;  // [kQueries, kKeys]
  pack_transposed(h_k, s.kv_stride, most, d, keys, ld);
  pack(h_v, s.kv_stride, most, d, 1.0f, values);
  for (std::int64_t head = 0; head < s.group; ++head) {
    for (std::int64_t query = 0; query < n; query += kQueries) {
      const Queries block(s, query);
      if (block.keys == 0 && s.add) continue;
      Running running[kQueries];
      T* to = static_cast<T*>(h.out) + head * d + query * s.out_stride;
      float* lse = h.lse + head * n + query;
      pack(h_q + head * d + query * s.q_stride, s.q_stride, block.count, d, 1.0f / root(static_cast<float>(d)), q);
      start(s, block.count, to, lse, running, out);
      for_each_tile(block, [&](const Tile& t) {
        scores(t, q, width, keys, ld, d, p);
        softmax_tile(t, p, running, out, width);
        add_over_keys(t, p, values, width, out);
      });
      finish(s, block.count, running, out, to, lse);
    }
  }
}

/// Scores become probabilities p = e^(score - lse), and d_p becomes the gradient of the scores, p * (d_p - delta). Both
/// are zero for kTileRows keys and more beyond what the row sees: add_over_queries() reads that far.
SS_INLINE void score_gradients(const Tile& t, const float* lse, const float* delta, float* p, float* d_p) {
  for (std::int64_t r = 0; r < t.queries; ++r) {
    const std::int64_t strip_end = least(r / kTileRows * kTileRows + kTileRows, t.queries);
    const std::int64_t visible = t.visible(r), to = padded(t.visible(strip_end - 1));
    float *scores_row = p + r * kKeys, *gradient = d_p + r * kKeys;
    if (visible == 0) {
      clear(scores_row, least(to + padded(kTileRows), kKeys));
      clear(gradient, least(to + padded(kTileRows), kKeys));
      continue;
    }
    for (std::int64_t j = visible; j < to; ++j) scores_row[j] = -__builtin_inff(), gradient[j] = 0;
    for (std::int64_t j = 0; j < to; j += kWidth) {
      const F probability = exp(load(scores_row + j) - lse[r]);
      store(scores_row + j, probability);
      store(gradient + j, probability * (load(gradient + j) - delta[r]));
    }
    const std::int64_t zeros = least(padded(kTileRows), kKeys - to);
    clear(scores_row + to, zeros);
    clear(gradient + to, zeros);
  }
}

/// delta [n] = by row, the sum of d_out * out.
template <class T>
SS_INLINE void row_products(const float* d_out, std::int64_t width, const T* out, std::int64_t stride, std::int64_t n,
                            std::int64_t d, float* delta) {
  for (std::int64_t r = 0; r < n; ++r) {
    F products = splat(0);
    for_each_vector(d, [&](auto c) { products += load(d_out + r * width, c) * load(out + r * stride, c); });
    delta[r] = sum(products);
  }
}

template <class T>
void unpack(const float* src, std::int64_t rows, std::int64_t d, float factor, T* dst, std::int64_t stride) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for_each_vector(d, [&](auto c) { store(dst + r * stride, c, load(src + r * padded(d), c) * factor); });
  }
}

template <class T>
void unpack_adding(const float* src, std::int64_t rows, std::int64_t d, float factor, T* dst, std::int64_t stride) {
  for (std::int64_t r = 0; r < rows; ++r) {
    T* to = dst + r * stride;
    for_each_vector(d, [&](auto c) { store(to, c, load(to, c) + load(src + r * padded(d), c) * factor); });
  }
}

template <class T>
void backward_of(const AttentionShape& s, const AttentionBackwardHead& h, float* scratch) {
  const auto *h_q = static_cast<const T*>(h.q), *h_k = static_cast<const T*>(h.k), *h_v = static_cast<const T*>(h.v);
  const auto *h_out = static_cast<const T*>(h.out), *h_d_out = static_cast<const T*>(h.d_out);
  const std::int64_t queries = s.queries.count, most = queries > 0 ? keys_seen(s, queries - 1) : 0;
  const std::int64_t d = s.head_dim, width = padded(d), ld = padded(most);
  const float scale = 1.0f / root(static_cast<float>(d));
  float* keys = scratch;                            // k [K, P(d)]
  float* d_keys = keys + most * width;              // [all keys, P(d)]
  float* d_values = d_keys + s.keys.count * width;  // [all keys, P(d)]
  float* keys_t = d_values + s.keys.count * width;  // k transposed [d, P(K)]
  float* values_t = keys_t + d * ld;                // v transposed [d, P(K)]
  float* q = values_t + d * ld;                     // [kQueries, P(d)], scaled
  float* d_out = q + kQueries * width;              // [kQueries, P(d)]
  float* d_q = d_out + kQueries * width;            // [kQueries, P(d)]
  float* p = d_q + kQueries * width;                // [kQueries, kKeys]
  float* d_p = p + kQueries * kKeys;                // [kQueries, kKeys]
  float* delta = d_p + kQueries * kKeys;            // [kQueries]
  pack(h_k, s.kv_stride, most, d, 1.0f, keys);
  pack_transposed(h_k, s.kv_stride, most, d, keys_t, ld);
  pack_transposed(h_v, s.kv_stride, most, d, values_t, ld);
  clear(d_keys, 2 * s.keys.count * width);
  for (std::int64_t head = 0; head < s.group; ++head) {
    for (std::int64_t query = 0; query < queries; query += kQueries) {
      const Queries block(s, query);
      if (block.keys == 0 && s.add) continue;
      const std::int64_t n = block.count, q_at = head * d + query * s.q_stride;
      const std::int64_t out_at = head * d + query * s.out_stride;
      pack(h_q + q_at, s.q_stride, n, d, scale, q);
      pack(h_d_out + out_at, s.out_stride, n, d, 1.0f, d_out);
      row_products(d_out, width, h_out + out_at, s.out_stride, n, d, delta);
      clear(d_q, n * width);
      for_each_tile(block, [&](const Tile& t) {
        scores(t, q, width, keys_t, ld, d, p);
        scores(t, d_out, width, values_t, ld, d, d_p);
        score_gradients(t, h.lse + head * queries + query, delta, p, d_p);
        add_over_queries(t, p, d_out, width, d_values);
        add_over_queries(t, d_p, q, width, d_keys);
        add_over_keys(t, d_p, keys, width, d_q);
      });
      (s.add ? unpack_adding<T> : unpack<T>)(d_q, n, d, scale, static_cast<T*>(h.d_q) + q_at, s.q_stride);
    }
  }
  unpack(d_keys, s.keys.count, d, 1.0f, static_cast<T*>(h.d_k), s.kv_stride);
  unpack(d_values, s.keys.count, d, 1.0f, static_cast<T*>(h.d_v), s.kv_stride);
}

void forward(const AttentionShape& shape, const AttentionHead& head, float* scratch) {
  if (shape.type == Element::kF32) return forward_of<float>(shape, head, scratch);
  shape.type == Element::kBF16 ? forward_of<BF16>(shape, head, scratch) : forward_of<F16>(shape, head, scratch);
}
void backward(const AttentionShape& shape, const AttentionBackwardHead& head, float* scratch) {
  if (shape.type == Element::kF32) return backward_of<float>(shape, head, scratch);
  shape.type == Element::kBF16 ? backward_of<BF16>(shape, head, scratch) : backward_of<F16>(shape, head, scratch);
}

}  // namespace

extern const AttentionLoops attention_loops;
const AttentionLoops attention_loops = {scratch_floats, forward, backward};

}  // namespace shardscope::SS_ISA
