#pragma once
// Attention as its kernels see it: one head's queries against one head's keys, wherever they lie.
//
//   const AttentionCall call = ...;                    // attention.cu, cached_attention.cu
//   attention_forward<T>(call, out, lse, merge, kernel);

#include "kernels/cuda/device.cuh"

namespace shardscope::cuda {

/// Which keys the queries of a head see: always the first ones, and later queries at least as many.
struct Visible {
  std::int64_t queries, keys;
  SequencePart q, kv;
  const std::int32_t* starts;  ///< or null: query i of sequence b stands at q.start + starts[b] + i instead

  __device__ std::int64_t operator()(std::int64_t sequence, std::int64_t query) const {
    const std::int64_t position = q.position(query, queries) + (starts != nullptr ? starts[sequence] : 0);
    const std::int64_t ahead = position + 1 - kv.start, early = (keys + 1) / 2;
    return within(ahead, early) + within(ahead - kv.jump - early, keys - early);
  }

 private:
  __device__ static std::int64_t within(std::int64_t n, std::int64_t most) { return n < 0 ? 0 : (n < most ? n : most); }
};

/// Where the rows of a matrix of heads lie: row r of head h of sequence b at b * sequence + h * head + r * row.
struct HeadRows {
  std::int64_t sequence, head, row;
  __device__ std::int64_t at(std::int64_t b, std::int64_t h) const { return b * sequence + h * head; }
};

/// What all kernels of attention go by. out and lse have rows [batch * seq, heads * d] and [batch, heads, seq].
struct AttentionShape {
  std::int64_t batch, heads, kv_heads, d;
  HeadRows q, kv, out;
  Visible visible;
  __device__ std::int64_t lse_at(std::int64_t b, std::int64_t h) const { return (b * heads + h) * visible.queries; }
};

/// A block's place in the grid: a tile of rows of a head of a sequence. `last_first`: where later rows take longer.
struct Place {
  std::int64_t first, head, sequence;
  __device__ Place(std::int64_t rows, int tile, std::int64_t heads, bool last_first) {
    const std::int64_t tiles = (rows + tile - 1) / tile, number = blockIdx.x % tiles;
    first = (last_first ? tiles - 1 - number : number) * tile;
    head = blockIdx.x / tiles % heads;
    sequence = blockIdx.x / tiles / heads;
  }
};
inline std::int64_t blocks_of(const AttentionShape& s, std::int64_t rows, int tile, std::int64_t heads) {
  return (rows + tile - 1) / tile * heads * s.batch;
}

__device__ inline std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

/// out and lse of all heads; with `merge` over what they hold. Without lse (null): out alone.
template <class T>
struct AttentionForwardCall {
  AttentionShape shape;
  const T *q, *k, *v;
  T* out;
  float* lse;
  bool merge;
};
/// On tensor cores where they can be used, else in fp32 arithmetic.
template <class T>
void attention_forward(const AttentionForwardCall<T>& call, const Kernel& kernel);

template <class T>
struct AttentionBackwardCall {
  AttentionShape shape;
  const T *d_out, *q, *k, *v, *out;
  const float* lse;
  float* delta;  ///< as lse: of each row, the sum of d_out * out
  T *d_q, *d_k, *d_v;
  bool accumulate;
};

/// The versions for tensor cores. Nothing is done and the answer is false where dtype, head size, alignment or GPU do
/// not allow them.
template <class T>
bool mma_attention_forward(const AttentionForwardCall<T>& call, const Kernel& kernel);
template <class T>
bool mma_attention_backward(const AttentionBackwardCall<T>& call, const Kernel& kernel);

}  // namespace shardscope::cuda
