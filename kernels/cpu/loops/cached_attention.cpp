// Attention of a few new tokens over the cache of one key/value head, a block of places at a time: each block comes
// from memory once, for all query heads of the group. Legend: d head size, P(n) n padded to whole vectors.
#include "kernels/cpu/loops/block_gemm.h"
#include "kernels/cpu/loops/half.h"
#include "kernels/cpu/loops/loops.h"
#include "kernels/cpu/loops/softmax.h"

namespace shardscope::SS_ISA {
namespace {

constexpr std::int64_t kPlaces = 128;

/// What the queries have come to; query i is token i / group, head i % group.
struct State {
  std::int64_t queries, width;  ///< width: P(d)
  float *q, *out;               ///< [queries, width]; q is scaled
  Running* running;
};

/// The places in hand, packed: keys [d, P(places)] and values [places, P(d)].
struct Places {
  std::int64_t first, places;
  const float *keys, *values;
};

/// Up to kTileRows queries, from `query` on, against a block. p [kTileRows, kPlaces].
SS_INLINE void attend(const CachedAttentionHead& h, const State& s, std::int64_t query, const Places& block, float* p) {
  const std::int64_t n = least(kTileRows, s.queries - query), ld = padded(block.places);
  float* out = s.out + query * s.width;
  multiply_strip<false>(Block{s.q + query * s.width, s.width, 1}, block.keys, ld, p, kPlaces, n, ld, h.head_dim);
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t visible = least(h.first + (query + i) / h.group + 1 - block.first, block.places);
    if (visible <= 0) {
      clear(p + i * kPlaces, ld);
      continue;
    }
    const float factor = exponentials(p + i * kPlaces, visible, ld, s.running[query + i]);
    if (factor == 1.0f) continue;
    for (std::int64_t c = 0; c < s.width; c += kWidth) {
      store(out + i * s.width + c, load(out + i * s.width + c) * factor);
    }
  }
  multiply_strip<true>(Block{p, kPlaces, 1}, block.values, s.width, out, s.width, n, s.width, block.places);
}

std::int64_t scratch_floats(const CachedAttentionHead& h) {
  const std::int64_t width = padded(h.head_dim), queries = h.rows * h.group;
  return kPlaces * (h.head_dim + width + kTileRows) + queries * (2 * width + 2);
}

/// Values [n, d] as vectors need them: padded, and in fp32.
template <class T>
SS_INLINE const float* values_of(const T* v, std::int64_t n, std::int64_t d, float* packed) {
  pack(v, d, n, d, 1.0f, packed);
  return packed;
}
SS_INLINE const float* values_of(const float* v, std::int64_t n, std::int64_t d, float* packed) {
  if (padded(d) == d) return v;
  pack(v, d, n, d, 1.0f, packed);
  return packed;
}

template <class T>
void forward_of(const CachedAttentionHead& h, float* scratch) {
  const std::int64_t d = h.head_dim, width = padded(d), queries = h.rows * h.group, places = h.first + h.rows;
  const auto *h_q = static_cast<const T*>(h.q), *h_k = static_cast<const T*>(h.k), *h_v = static_cast<const T*>(h.v);
  float* keys = scratch;                // [d, kPlaces]
  float* values = keys + d * kPlaces;   // [kPlaces, P(d)]
  float* p = values + kPlaces * width;  // [kTileRows, kPlaces]
  float* q = p + kTileRows * kPlaces;   // [queries, P(d)]
  float* out = q + queries * width;     // [queries, P(d)]
  const State state{queries, width, q, out, reinterpret_cast<Running*>(out + queries * width)};
  const float scale = 1.0f / root(static_cast<float>(d));
  for (std::int64_t r = 0; r < h.rows; ++r) pack(h_q + r * h.q_stride, d, h.group, d, scale, q + r * h.group * width);
  clear(out, queries * width);
  for (std::int64_t i = 0; i < queries; ++i) state.running[i] = {-__builtin_inff(), 0};
  for (std::int64_t first = 0; first < places; first += kPlaces) {
    const std::int64_t n = least(kPlaces, places - first);
    pack_transposed(h_k + first * d, d, n, d, keys, padded(n));
    const Places block{first, n, keys, values_of(h_v + first * d, n, d, values)};
    for (std::int64_t query = 0; query < queries; query += kTileRows) attend(h, state, query, block, p);
  }
  for (std::int64_t i = 0; i < queries; ++i) {
    const float inverse = 1.0f / state.running[i].sum;
    T* to = static_cast<T*>(h.out) + i / h.group * h.out_stride + i % h.group * d;
    for_each_vector(d, [&](auto c) { store(to, c, load(out + i * width, c) * inverse); });
  }
}

void forward(const CachedAttentionHead& head, float* scratch) {
  if (head.type == Element::kF32) return forward_of<float>(head, scratch);
  head.type == Element::kBF16 ? forward_of<BF16>(head, scratch) : forward_of<F16>(head, scratch);
}

}  // namespace

extern const CacheLoops cache_loops;
const CacheLoops cache_loops = {scratch_floats, forward};

}  // namespace shardscope::SS_ISA
