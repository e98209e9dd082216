// The cache of keys and values: AppendCache, CachedAttention. Limited by memory: decoding reads the visible part of the
// cache once, 2 d elements per place and key/value head.
#include <algorithm>

#include "core/check.h"
#include "kernels/cuda/access.cuh"
#include "kernels/cuda/attention.cuh"

namespace shardscope::cuda {
namespace {

struct Append {
  const std::int32_t* starts;
  std::int64_t batch, seq, kv_heads, head, stride, capacity;  ///< head and stride in words
};

/// Moves twice the bytes of k and v. More tokens than the cache has places for stop the device.
template <class Word>
__global__ void append(const Word* k, const Word* v, Word* k_cache, Word* v_cache, Append a) {
  const std::int64_t width = a.kv_heads * a.head, n = a.batch * a.seq * width;
  for (std::int64_t i = first_index(); i < n; i += index_stride()) {
    const std::int64_t row = i / width, column = i % width, sequence = row / a.seq;
    const std::int64_t place = (a.starts == nullptr ? 0 : a.starts[sequence]) + row % a.seq;
    if (place < 0 || place >= a.capacity) __trap();
    const std::int64_t pair = sequence * a.kv_heads + column / a.head;
    const std::int64_t to = (pair * a.capacity + place) * a.head + column % a.head;
    k_cache[to] = k[row * a.stride + column];
    v_cache[to] = v[row * a.stride + column];
  }
}

constexpr int kDecodeThreads = 128;
constexpr int kBatch = 4;  ///< places that a group of lanes loads at once

/// Query i of a pair (sequence, key/value head) is token i / group, head i % group.
template <class T>
struct Decode {
  const T *q, *k, *v;
  T* out;
  const std::int32_t* starts;
  std::int64_t seq, heads, kv_heads, d, q_stride, capacity, queries;
  int splits;
  float* partial;  ///< [pair, query, split, d + 2]: not normalised, relative to `top`; then top and sum

  __device__ std::int64_t group() const { return heads / kv_heads; }
  __device__ std::int64_t start_of(std::int64_t sequence) const { return starts == nullptr ? 0 : starts[sequence]; }
  __device__ float* partial_of(std::int64_t pair, std::int64_t query, std::int64_t split) const {
    return partial + ((pair * queries + query) * splits + split) * (d + 2);
  }
  __device__ std::int64_t row_of(std::int64_t pair, std::int64_t query) const {
    return pair / kv_heads * seq + query / group();
  }
  __device__ std::int64_t column_of(std::int64_t pair, std::int64_t query) const {
    return (pair % kv_heads * group() + query % group()) * d;
  }
};

/// How lanes share a row of d elements: LANES of them, each with STEPS packs of WIDTH.
template <int WIDTH, int LANES, int STEPS>
struct Layout {
  static constexpr int kLanes = LANES, kEach = WIDTH * STEPS;
  static constexpr int kGroups = kDecodeThreads / LANES;
  __device__ static int column(int i) {  ///< of this thread's element i
    const int lane = static_cast<int>(threadIdx.x) % LANES;
    return (i / WIDTH * LANES + lane) * WIDTH + i % WIDTH;
  }
  template <class T>
  __device__ static void load(const T* row, int d, float (&v)[kEach]) {
    if constexpr (WIDTH == 1) {
#pragma unroll
      for (int i = 0; i < kEach; ++i) v[i] = column(i) < d ? to_float(row[column(i)]) : 0.0f;
    } else {
#pragma unroll
      for (int i = 0; i < STEPS; ++i) {
        const Pack<T, WIDTH> pack = load_pack<WIDTH>(row + column(i * WIDTH));
#pragma unroll
        for (int j = 0; j < WIDTH; ++j) v[i * WIDTH + j] = to_float(pack.at[j]);
      }
    }
  }
  __device__ static float sum(float v) {
#pragma unroll
    for (int step = LANES / 2; step > 0; step /= 2) v += __shfl_xor_sync(kAllLanes, v, step);
    return v;
  }
};

/// The running softmax of a group of lanes for Q queries, and their sums of values.
template <int Q, int EACH>
struct State {
  float top[Q], sum[Q] = {}, acc[Q][EACH] = {};
};

/// Lanes' states become the block's, which goes to `partial`.
template <class L, int Q, class T>
__device__ void store_block(const Decode<T>& call, const State<Q, L::kEach>& state, std::int64_t pair,
                            std::int64_t query, std::int64_t split) {
  __shared__ float acc[L::kGroups][Q][L::kLanes * L::kEach], tops[L::kGroups][Q], sums[L::kGroups][Q];
  const int own = static_cast<int>(threadIdx.x) / L::kLanes, d = static_cast<int>(call.d);
#pragma unroll
  for (int i = 0; i < Q; ++i) {
#pragma unroll
    for (int c = 0; c < L::kEach; ++c) acc[own][i][L::column(c)] = state.acc[i][c];
    if (threadIdx.x % L::kLanes == 0) tops[own][i] = state.top[i], sums[own][i] = state.sum[i];
  }
  __syncthreads();
  for (int at = threadIdx.x; at < Q * d; at += kDecodeThreads) {
    const int i = at / d, column = at % d;
    if (query + i >= call.queries) break;
    float top = -INFINITY, sum = 0, value = 0;
    for (int g = 0; g < L::kGroups; ++g) top = fmaxf(top, tops[g][i]);
    for (int g = 0; g < L::kGroups; ++g) {
      const float factor = tops[g][i] == -INFINITY ? 0.0f : expf(tops[g][i] - top);
      sum += sums[g][i] * factor;
      value += acc[g][i][column] * factor;
    }
    float* partial = call.partial_of(pair, query + i, split);
    partial[column] = value;
    if (column == 0) partial[d] = top, partial[d + 1] = sum;
  }
}

/// Q queries of a pair against one of `splits` parts of the places that are filled. Keys and values go from memory to
/// registers; each group of lanes has every kGroups-th batch of places.
template <class L, int Q, class T>
__global__ void __launch_bounds__(kDecodeThreads) decode(Decode<T> call) {
  const std::int64_t pair = blockIdx.x / call.splits, split = blockIdx.x % call.splits, query = blockIdx.y * Q;
  const std::int64_t start = call.start_of(pair / call.kv_heads), filled = start + call.seq;
  const std::int64_t places = filled < call.capacity ? filled : call.capacity;
  const std::int64_t share = ((places + call.splits - 1) / call.splits + kBatch - 1) / kBatch * kBatch;
  const std::int64_t begin = split * share, end = begin + share < places ? begin + share : places;
  const int own = static_cast<int>(threadIdx.x) / L::kLanes, d = static_cast<int>(call.d);
  const float scale = 1.0f / sqrtf(static_cast<float>(d));
  const T *keys = call.k + pair * call.capacity * call.d, *values = call.v + pair * call.capacity * call.d;
  float q[Q][L::kEach];
  std::int64_t seen[Q];
  State<Q, L::kEach> state;
#pragma unroll
  for (int i = 0; i < Q; ++i) {
    const bool is_there = query + i < call.queries;
    const T* row = call.q + call.row_of(pair, query + i) * call.q_stride + call.column_of(pair, query + i);
#pragma unroll
    for (int c = 0; c < L::kEach; ++c) {
      q[i][c] = is_there && L::column(c) < d ? to_float(row[L::column(c)]) * scale : 0.0f;
    }
    seen[i] = is_there ? start + (query + i) / call.group() + 1 : 0;
    state.top[i] = -INFINITY;
  }
  for (std::int64_t first = begin; first < end; first += L::kGroups * kBatch) {
    const std::int64_t place = first + own * kBatch;
    float s[Q][kBatch], v[kBatch][L::kEach];
#pragma unroll
    for (int j = 0; j < kBatch; ++j) {
      float k[L::kEach] = {};
      if (place + j < end) L::load(keys + (place + j) * call.d, d, k);
#pragma unroll
      for (int i = 0; i < Q; ++i) {
        s[i][j] = 0;
#pragma unroll
        for (int c = 0; c < L::kEach; ++c) s[i][j] += q[i][c] * k[c];
      }
    }
#pragma unroll
    for (int j = 0; j < kBatch; ++j) {
#pragma unroll
      for (int c = 0; c < L::kEach; ++c) v[j][c] = 0;
      if (place + j < end) L::load(values + (place + j) * call.d, d, v[j]);
    }
#pragma unroll
    for (int i = 0; i < Q; ++i) {
      float top = state.top[i];
#pragma unroll
      for (int j = 0; j < kBatch; ++j) {
        s[i][j] = L::sum(s[i][j]);
        if (place + j >= end || place + j >= seen[i]) s[i][j] = -INFINITY;
        top = fmaxf(top, s[i][j]);
      }
      const float base = top == -INFINITY ? 0.0f : top, factor = expf(state.top[i] - base);
      state.top[i] = top;
      state.sum[i] *= factor;
#pragma unroll
      for (int c = 0; c < L::kEach; ++c) state.acc[i][c] *= factor;
#pragma unroll
      for (int j = 0; j < kBatch; ++j) {
        const float p = expf(s[i][j] - base);
        state.sum[i] += p;
#pragma unroll
        for (int c = 0; c < L::kEach; ++c) state.acc[i][c] += p * v[j][c];
      }
    }
  }
  store_block<L, Q>(call, state, pair, query, split);
}

/// A block to a query: the parts' sums become the output.
template <class T>
__global__ void join(Decode<T> call) {
  const std::int64_t pair = blockIdx.x / call.queries, query = blockIdx.x % call.queries;
  T* out = call.out + call.row_of(pair, query) * call.heads * call.d + call.column_of(pair, query);
  float top = -INFINITY, sum = 0;
  for (int split = 0; split < call.splits; ++split) top = fmaxf(top, call.partial_of(pair, query, split)[call.d]);
  const auto factor_of = [&](const float* part) { return part[call.d] == -INFINITY ? 0.0f : expf(part[call.d] - top); };
  for (int split = 0; split < call.splits; ++split) {
    const float* part = call.partial_of(pair, query, split);
    sum += part[call.d + 1] * factor_of(part);
  }
  for (std::int64_t c = threadIdx.x; c < call.d; c += blockDim.x) {
    float value = 0;
    for (int split = 0; split < call.splits; ++split) {
      const float* part = call.partial_of(pair, query, split);
      value += part[c] * factor_of(part);
    }
    out[c] = from_float<T>(value / sum);
  }
}

template <class L, class T>
void launch_decode(const Decode<T>& call, std::int64_t pairs, const Kernel& kernel) {
  const auto blocks = static_cast<unsigned>(pairs * call.splits);
  if (call.queries == 1) {
    decode<L, 1><<<blocks, kDecodeThreads, 0, kernel.stream()>>>(call);
  } else {
    constexpr int kQueries = 4;
    const dim3 grid(blocks, static_cast<unsigned>((call.queries + kQueries - 1) / kQueries));
    decode<L, kQueries><<<grid, kDecodeThreads, 0, kernel.stream()>>>(call);
  }
  check_launch("decode");
  join<<<static_cast<unsigned>(pairs * call.queries), kDecodeThreads, 0, kernel.stream()>>>(call);
  check_launch("join");
}

template <class T>
void decode_all(const CachedAttention& op, Decode<T> call, Kernel& kernel) {
  constexpr int kMostSplits = 64, kLeastPlaces = 64;  // guesses: what makes a block worth its start
  constexpr int kN = Vectors<T>::kN;
  const std::int64_t pairs = op.batch * op.kv_heads, blocks = pairs * ((call.queries + 3) / 4);
  const std::int64_t wanted = (4 * kernel.device().multiprocessors + blocks - 1) / blocks;
  call.splits =
      static_cast<int>(std::clamp<std::int64_t>(std::min(wanted, op.capacity / kLeastPlaces), 1, kMostSplits));
  call.partial = kernel.scratch<float>(pairs * call.queries * call.splits * (op.head_dim + 2));
  const bool packs = is_aligned(call.k, 16) && is_aligned(call.v, 16);
  if (packs && op.head_dim == 64) return launch_decode<Layout<kN, 64 / kN, 1>>(call, pairs, kernel);
  if (packs && op.head_dim == 128) return launch_decode<Layout<kN, 128 / kN, 1>>(call, pairs, kernel);
  launch_decode<Layout<1, kWarp, 8>>(call, pairs, kernel);
}

/// Many queries at once, as when a prompt is read: tiles, as in attention without a cache.
template <class T>
void prefill(const CachedAttention& op, const Decode<T>& call, const Kernel& kernel) {
  const std::int64_t width = op.heads * op.head_dim, cache = op.capacity * op.head_dim;
  const AttentionShape shape{op.batch,
                             op.heads,
                             op.kv_heads,
                             op.head_dim,
                             {op.seq * op.q_stride, op.head_dim, op.q_stride},
                             {op.kv_heads * cache, cache, op.head_dim},
                             {op.seq * width, op.head_dim, width},
                             {op.seq, op.capacity, {}, {}, call.starts}};
  attention_forward<T>({shape, call.q, call.k, call.v, call.out, nullptr, false}, kernel);
}

}  // namespace

void run(const AppendCache& op, Kernel& kernel) {
  const std::int64_t size = size_of(kernel.dtype(op.k));
  const auto copy = [&](auto word) {
    using Word = decltype(word);
    constexpr auto kWord = static_cast<std::int64_t>(sizeof(Word));
    const Append shape{
        kernel.data<std::int32_t>(op.starts), op.batch,   op.seq, op.kv_heads, op.head_dim * size / kWord,
        op.kv_stride * size / kWord,          op.capacity};
    const std::int64_t n = op.batch * op.seq * op.kv_heads * shape.head;
    append<<<blocks_for(kernel, n), kThreads, 0, kernel.stream()>>>(kernel.data<Word>(op.k), kernel.data<Word>(op.v),
                                                                    kernel.data<Word>(op.k_cache),
                                                                    kernel.data<Word>(op.v_cache), shape);
  };
  constexpr auto kWords = static_cast<std::int64_t>(sizeof(uint4));
  const bool packs = op.head_dim * size % kWords == 0 && op.kv_stride * size % kWords == 0 &&
                     is_aligned(kernel.data(op.k), sizeof(uint4)) && is_aligned(kernel.data(op.v), sizeof(uint4)) &&
                     is_aligned(kernel.data(op.k_cache), sizeof(uint4)) &&
                     is_aligned(kernel.data(op.v_cache), sizeof(uint4));
  if (packs) {
    copy(uint4{});
  } else {
    size == 4 ? copy(std::uint32_t{}) : copy(std::uint16_t{});
  }
  check_launch("append_cache");
}

void run(const CachedAttention& op, Kernel& kernel) {
  SS_CHECK(op.kv_heads > 0 && op.heads % op.kv_heads == 0, op.heads, op.kv_heads);
  constexpr std::int64_t kMostDecoded = 16;  // queries of a key/value head; a guess
  for_dtype(kernel.dtype(op.q), [&](auto type) {
    using T = decltype(type);
    const Decode<T> call{kernel.data<T>(op.q),
                         kernel.data<T>(op.k_cache),
                         kernel.data<T>(op.v_cache),
                         kernel.data<T>(op.out),
                         kernel.data<std::int32_t>(op.starts),
                         op.seq,
                         op.heads,
                         op.kv_heads,
                         op.head_dim,
                         op.q_stride,
                         op.capacity,
                         op.seq * (op.heads / op.kv_heads),
                         1,
                         nullptr};
    call.queries <= kMostDecoded ? decode_all(op, call, kernel) : prefill(op, call, kernel);
  });
}

}  // namespace shardscope::cuda
