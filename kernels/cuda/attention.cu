// Attention and its gradients, flash style: keys and values go through shared memory a tile at a time, and scores are
// never stored. This file has the version in fp32 arithmetic for any shape, attention_mma.cu that for tensor cores.
// Limited by arithmetic: 4 d FLOP per visible pair and head forward, 14 d backward (the scores are computed twice, once
// in each of its kernels).
#include "kernels/cuda/attention.cuh"

#include "core/check.h"
#include "kernels/cuda/attention_tiles.cuh"

namespace shardscope::cuda {
namespace {

/// Rows of tiles: of queries (or what has their place) and of what goes through shared memory; tiles of D columns, so
/// that they fit the 64 KiB that every GPU has.
template <int D>
struct Tiles {
  static constexpr int kForward = D <= 128 ? 64 : 32, kKeys = D <= 64 ? 64 : (D <= 128 ? 32 : 16);
  static constexpr int kBackward = D <= 128 ? 32 : 16;
};

constexpr int tile_floats(int rows, int width) { return rows * padded_row(width); }

/// The running softmax of R rows: the largest score so far, and the sum of exponentials relative to it.
template <int R>
struct Running {
  float top[R], sum[R];

  /// Scores become exponentials, 0 beyond `seen`; factor[i] is what earlier sums of row i must be scaled by.
  template <int C>
  __device__ void add(float (&s)[R][C], const std::int64_t (&seen)[R], std::int64_t key, float (&factor)[R]) {
    const int tx = threadIdx.x % 16;
#pragma unroll
    for (int i = 0; i < R; ++i) {
      float most = -INFINITY;
#pragma unroll
      for (int j = 0; j < C; ++j) {
        if (key + tx + 16 * j >= seen[i]) s[i][j] = -INFINITY;
        most = fmaxf(most, s[i][j]);
      }
      const float next = fmaxf(top[i], row_max(most)), base = next == -INFINITY ? 0.0f : next;  // a row may see nothing
      float added = 0;
#pragma unroll
      for (int j = 0; j < C; ++j) added += s[i][j] = expf(s[i][j] - base);
      factor[i] = expf(top[i] - base);
      sum[i] = sum[i] * factor[i] + row_sum(added);
      top[i] = next;
    }
  }
};

template <class T, int D>
__global__ void __launch_bounds__(kTileThreads) forward(AttentionForwardCall<T> call) {
  constexpr int kRows = Tiles<D>::kForward, kKeys = Tiles<D>::kKeys, R = kRows / 16;
  extern __shared__ float4 shared[];
  float* q_tile = reinterpret_cast<float*>(shared);  // [kRows, D]
  float* kv_tile = q_tile + tile_floats(kRows, D);   // [kKeys, D], keys and then values
  float* p_tile = kv_tile + tile_floats(kKeys, D);   // [kRows, kKeys]
  const AttentionShape& s = call.shape;
  const int d = static_cast<int>(s.d);
  const Place place(s.visible.queries, kRows, s.heads, true);
  const std::int64_t b = place.sequence, rows = least(kRows, s.visible.queries - place.first);
  const std::int64_t keys = s.visible(b, place.first + rows - 1);
  const T* q = call.q + s.q.at(b, place.head) + place.first * s.q.row;
  const std::int64_t kv = s.kv.at(b, place.head / (s.heads / s.kv_heads));
  T* out = call.out + s.out.at(b, place.head) + place.first * s.out.row;
  float* lse = call.lse == nullptr ? nullptr : call.lse + s.lse_at(b, place.head) + place.first;
  if (keys == 0 && call.merge) return;

  Running<R> running;
  float4 acc[R][D / 64] = {};
  std::int64_t seen[R];
  const int ty = threadIdx.x / 16, tx = threadIdx.x % 16;
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const int row = ty * R + i;
    seen[i] = row < rows ? s.visible(b, place.first + row) : 0;
    const bool merges = call.merge && row < rows;
    running.top[i] = merges ? lse[row] : -INFINITY;
    running.sum[i] = merges ? 1.0f : 0.0f;
    if (!merges) continue;
#pragma unroll
    for (int j = 0; j < D / 64; ++j) {
      float old[4];
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const int column = 64 * j + 4 * tx + c;
        old[c] = column < d ? to_float(out[row * s.out.row + column]) : 0.0f;
      }
      acc[i][j] = make_float4(old[0], old[1], old[2], old[3]);
    }
  }
  load_tile<kRows, D>(q_tile, q, s.q.row, rows, d, 1.0f / sqrtf(static_cast<float>(d)));
  for (std::int64_t key = 0; key < keys; key += kKeys) {
    const std::int64_t n = least(kKeys, keys - key), at = kv + key * s.kv.row;
    load_tile<kKeys, D>(kv_tile, call.k + at, s.kv.row, n, d, 1.0f);
    __syncthreads();
    float p[R][kKeys / 16], factor[R];
    multiply_rows<R, kKeys / 16, D>(q_tile, kv_tile, p);
    running.add(p, seen, key, factor);
    store_products(p_tile, p);
#pragma unroll
    for (int i = 0; i < R; ++i) {
#pragma unroll
      for (int j = 0; j < D / 64; ++j) {
        acc[i][j].x *= factor[i], acc[i][j].y *= factor[i], acc[i][j].z *= factor[i], acc[i][j].w *= factor[i];
      }
    }
    __syncthreads();
    load_tile<kKeys, D>(kv_tile, call.v + at, s.kv.row, n, d, 1.0f);
    __syncthreads();
    add_product<R, kKeys, D>(p_tile, kv_tile, acc);
    __syncthreads();
  }
  for_each_column<R, D>(acc, d, [&](int i, int row, int column, float v) {
    const float inverse = running.sum[i] > 0 ? 1.0f / running.sum[i] : 0.0f;  // 0: sees no key
    if (row < rows) out[row * s.out.row + column] = from_float<T>(v * inverse);
  });
#pragma unroll
  for (int i = 0; i < R; ++i) {
    if (lse != nullptr && tx == 0 && ty * R + i < rows) lse[ty * R + i] = running.top[i] + logf(running.sum[i]);
  }
}

/// A warp to a row and head.
template <class T>
__global__ void row_products(AttentionBackwardCall<T> call) {
  const AttentionShape& s = call.shape;
  const std::int64_t n = s.batch * s.heads * s.visible.queries;
  for (std::int64_t i = first_index() / kWarp; i < n; i += index_stride() / kWarp) {
    const std::int64_t row = i % s.visible.queries, head = i / s.visible.queries % s.heads;
    const std::int64_t at = s.out.at(i / s.visible.queries / s.heads, head) + row * s.out.row;
    float sum = 0;
    for (std::int64_t c = threadIdx.x % kWarp; c < s.d; c += kWarp) {
      sum += to_float(call.d_out[at + c]) * to_float(call.out[at + c]);
    }
    sum = warp_sum(sum);
    if (threadIdx.x % kWarp == 0) call.delta[i] = sum;
  }
}

/// d_q of a tile of queries, over all keys they see.
template <class T, int D>
__global__ void __launch_bounds__(kTileThreads) backward_queries(AttentionBackwardCall<T> call) {
  constexpr int kRows = Tiles<D>::kBackward, R = kRows / 16;
  extern __shared__ float4 shared[];
  float* q_tile = reinterpret_cast<float*>(shared);     // [kRows, D], scaled
  float* d_out_tile = q_tile + tile_floats(kRows, D);   // [kRows, D]
  float* kv_tile = d_out_tile + tile_floats(kRows, D);  // [kRows, D], values and then keys
  float* p_tile = kv_tile + tile_floats(kRows, D);      // [kRows queries, kRows keys]
  const AttentionShape& s = call.shape;
  const int d = static_cast<int>(s.d), ty = threadIdx.x / 16, tx = threadIdx.x % 16;
  const float scale = 1.0f / sqrtf(static_cast<float>(d));
  const Place place(s.visible.queries, kRows, s.heads, true);
  const std::int64_t b = place.sequence, rows = least(kRows, s.visible.queries - place.first);
  const std::int64_t keys = s.visible(b, place.first + rows - 1);
  const std::int64_t q = s.q.at(b, place.head) + place.first * s.q.row;
  const std::int64_t kv = s.kv.at(b, place.head / (s.heads / s.kv_heads));
  const std::int64_t lse = s.lse_at(b, place.head) + place.first;
  load_tile<kRows, D>(q_tile, call.q + q, s.q.row, rows, d, scale);
  load_tile<kRows, D>(d_out_tile, call.d_out + s.out.at(b, place.head) + place.first * s.out.row, s.out.row, rows, d,
                      1.0f);
  float4 acc[R][D / 64] = {};
  float row_lse[R], delta[R];
  std::int64_t seen[R];
#pragma unroll
  for (int i = 0; i < R; ++i) {
    const int row = ty * R + i;
    seen[i] = row < rows ? s.visible(b, place.first + row) : 0;
    row_lse[i] = row < rows ? call.lse[lse + row] : 0.0f;
    delta[i] = row < rows ? call.delta[lse + row] : 0.0f;
  }
  for (std::int64_t key = 0; key < keys; key += kRows) {
    const std::int64_t n = least(kRows, keys - key), at = kv + key * s.kv.row;
    float p[R][R], d_p[R][R];
    load_tile<kRows, D>(kv_tile, call.v + at, s.kv.row, n, d, 1.0f);
    __syncthreads();
    multiply_rows<R, R, D>(d_out_tile, kv_tile, d_p);
    __syncthreads();
    load_tile<kRows, D>(kv_tile, call.k + at, s.kv.row, n, d, 1.0f);
    __syncthreads();
    multiply_rows<R, R, D>(q_tile, kv_tile, p);
#pragma unroll
    for (int i = 0; i < R; ++i) {
#pragma unroll
      for (int j = 0; j < R; ++j) {
        const bool sees = key + tx + 16 * j < seen[i];
        d_p[i][j] = sees ? expf(p[i][j] - row_lse[i]) * (d_p[i][j] - delta[i]) : 0.0f;
      }
    }
    store_products(p_tile, d_p);
    __syncthreads();
    add_product<R, kRows, D>(p_tile, kv_tile, acc);
    __syncthreads();
  }
  for_each_column<R, D>(acc, d, [&](int, int row, int column, float v) {
    if (row >= rows) return;
    T& to = call.d_q[q + row * s.q.row + column];
    to = from_float<T>(v * scale + (call.accumulate ? to_float(to) : 0.0f));
  });
}

/// d_k and d_v of a tile of keys, over all queries of the group's heads that see any of them.
template <class T, int D>
__global__ void __launch_bounds__(kTileThreads) backward_keys(AttentionBackwardCall<T> call) {
  constexpr int kRows = Tiles<D>::kBackward, R = kRows / 16;
  extern __shared__ float4 shared[];
  float* k_tile = reinterpret_cast<float*>(shared);  // [kRows, D]
  float* v_tile = k_tile + tile_floats(kRows, D);    // [kRows, D]
  float* q_tile = v_tile + tile_floats(kRows, D);    // [kRows, D], queries (scaled), then d_out, then queries
  float* p_tile = q_tile + tile_floats(kRows, D);    // [kRows keys, kRows queries]
  const AttentionShape& s = call.shape;
  const int d = static_cast<int>(s.d), ty = threadIdx.x / 16, tx = threadIdx.x % 16;
  const float scale = 1.0f / sqrtf(static_cast<float>(d));
  const Place place(s.visible.keys, kRows, s.kv_heads, false);
  const std::int64_t b = place.sequence, rows = least(kRows, s.visible.keys - place.first);
  const std::int64_t kv = s.kv.at(b, place.head) + place.first * s.kv.row, group = s.heads / s.kv_heads;
  load_tile<kRows, D>(k_tile, call.k + kv, s.kv.row, rows, d, 1.0f);
  load_tile<kRows, D>(v_tile, call.v + kv, s.kv.row, rows, d, 1.0f);
  float4 d_k[R][D / 64] = {}, d_v[R][D / 64] = {};
  for (std::int64_t head = place.head * group; head < (place.head + 1) * group; ++head) {
    for (std::int64_t query = 0; query < s.visible.queries; query += kRows) {
      const std::int64_t n = least(kRows, s.visible.queries - query);
      if (s.visible(b, query + n - 1) <= place.first) continue;
      const T* q = call.q + s.q.at(b, head) + query * s.q.row;
      const T* d_out = call.d_out + s.out.at(b, head) + query * s.out.row;
      float p[R][R], d_p[R][R];
      load_tile<kRows, D>(q_tile, q, s.q.row, n, d, scale);
      __syncthreads();
      multiply_rows<R, R, D>(k_tile, q_tile, p);
      __syncthreads();
      load_tile<kRows, D>(q_tile, d_out, s.out.row, n, d, 1.0f);
      __syncthreads();
      multiply_rows<R, R, D>(v_tile, q_tile, d_p);
#pragma unroll
      for (int j = 0; j < R; ++j) {
        const std::int64_t column = tx + 16 * j, row = s.lse_at(b, head) + query + column;
        const std::int64_t seen = column < n ? s.visible(b, query + column) : 0;
        const float lse = column < n ? call.lse[row] : 0.0f, delta = column < n ? call.delta[row] : 0.0f;
#pragma unroll
        for (int i = 0; i < R; ++i) {
          p[i][j] = place.first + ty * R + i < seen ? expf(p[i][j] - lse) : 0.0f;
          d_p[i][j] = p[i][j] * (d_p[i][j] - delta);
        }
      }
      store_products(p_tile, p);
      __syncthreads();
      add_product<R, kRows, D>(p_tile, q_tile, d_v);
      __syncthreads();
      load_tile<kRows, D>(q_tile, q, s.q.row, n, d, scale);
      store_products(p_tile, d_p);
      __syncthreads();
      add_product<R, kRows, D>(p_tile, q_tile, d_k);
      __syncthreads();
    }
  }
  for_each_column<R, D>(d_k, d, [&](int, int row, int column, float v) {
    if (row < rows) call.d_k[kv + row * s.kv.row + column] = from_float<T>(v);
  });
  for_each_column<R, D>(d_v, d, [&](int, int row, int column, float v) {
    if (row < rows) call.d_v[kv + row * s.kv.row + column] = from_float<T>(v);
  });
}

/// Launches a kernel of one call and `floats` of shared memory, a block per tile of `rows` rows of each head.
template <class Call>
void launch(void (*kernel_of)(Call), const Call& call, std::int64_t rows, int tile, std::int64_t heads, int floats,
            const Kernel& kernel, const char* name) {
  const int bytes = floats * static_cast<int>(sizeof(float));
  check(cudaFuncSetAttribute(kernel_of, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), name);
  kernel_of<<<static_cast<unsigned>(blocks_of(call.shape, rows, tile, heads)), kTileThreads,
              static_cast<std::size_t>(bytes), kernel.stream()>>>(call);
  check_launch(name);
}

/// f(integral constant) with the width of tiles for heads of d.
template <class F>
void for_width(std::int64_t d, F&& f) {
  if (d <= 64) return f(std::integral_constant<int, 64>{});
  if (d <= 128) return f(std::integral_constant<int, 128>{});
  f(std::integral_constant<int, 256>{});
}

template <class Op>
AttentionShape shape_of(const Op& op) {
  SS_CHECK(op.kv_heads > 0 && op.heads % op.kv_heads == 0, op.heads, op.kv_heads);
  const std::int64_t keys = op.span.keys(op.seq), width = op.heads * op.head_dim;
  return {op.batch,
          op.heads,
          op.kv_heads,
          op.head_dim,
          {op.seq * op.q_stride, op.head_dim, op.q_stride},
          {keys * op.kv_stride, op.head_dim, op.kv_stride},
          {op.seq * width, op.head_dim, width},
          {op.seq, keys, op.span.q, op.span.kv, nullptr}};
}

}  // namespace

template <class T>
void attention_forward(const AttentionForwardCall<T>& call, const Kernel& kernel) {
  if (mma_attention_forward(call, kernel)) return;
  for_width(call.shape.d, [&](auto width) {
    constexpr int D = width, kRows = Tiles<D>::kForward, kKeys = Tiles<D>::kKeys;
    constexpr int kFloats = tile_floats(kRows, D) + tile_floats(kKeys, D) + tile_floats(kRows, kKeys);
    launch(forward<T, D>, call, call.shape.visible.queries, kRows, call.shape.heads, kFloats, kernel, "attention");
  });
}
template void attention_forward(const AttentionForwardCall<float>&, const Kernel&);
template void attention_forward(const AttentionForwardCall<__nv_bfloat16>&, const Kernel&);
template void attention_forward(const AttentionForwardCall<__half>&, const Kernel&);

void run(const Attention& op, Kernel& kernel) {
  for_dtype(kernel.dtype(op.q), [&](auto type) {
    using T = decltype(type);
    attention_forward<T>({shape_of(op), kernel.data<T>(op.q), kernel.data<T>(op.k), kernel.data<T>(op.v),
                          kernel.data<T>(op.out), kernel.data(op.lse), op.merge},
                         kernel);
  });
}

void run(const AttentionBackward& op, Kernel& kernel) {
  const AttentionShape s = shape_of(op);
  const std::int64_t rows = op.batch * op.heads * op.seq;
  auto* delta = kernel.scratch<float>(rows);
  for_dtype(kernel.dtype(op.q), [&](auto type) {
    using T = decltype(type);
    const AttentionBackwardCall<T> call{s,
                                        kernel.data<T>(op.d_out),
                                        kernel.data<T>(op.q),
                                        kernel.data<T>(op.k),
                                        kernel.data<T>(op.v),
                                        kernel.data<T>(op.out),
                                        kernel.data(op.lse),
                                        delta,
                                        kernel.data<T>(op.d_q),
                                        kernel.data<T>(op.d_k),
                                        kernel.data<T>(op.d_v),
                                        op.accumulate};
    if (mma_attention_backward(call, kernel)) return;
    row_products<<<blocks_for(kernel, rows * kWarp), kThreads, 0, kernel.stream()>>>(call);
    check_launch("row_products");
    for_width(op.head_dim, [&](auto width) {
      constexpr int D = width, kRows = Tiles<D>::kBackward;
      constexpr int kFloats = 3 * tile_floats(kRows, D) + tile_floats(kRows, kRows);
      launch(backward_queries<T, D>, call, op.seq, kRows, op.heads, kFloats, kernel, "attention_backward (queries)");
      launch(backward_keys<T, D>, call, s.visible.keys, kRows, op.kv_heads, kFloats, kernel,
             "attention_backward (keys)");
    });
  });
}

}  // namespace shardscope::cuda
