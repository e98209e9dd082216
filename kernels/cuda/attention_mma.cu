// Attention and its gradients on tensor cores (mma.sync): bf16 and fp16, heads of 64 and 128. Probabilities and the
// gradients of scores are rounded to the dtype before they are multiplied; all sums and the softmax are fp32.
// A block keeps rows in shared memory, some to each warp; what they are multiplied with goes by in two tiles at a time,
// the next two on their way. Limited by the tensor cores: 4 d FLOP per visible pair and head forward, 14 d backward.
#include "core/check.h"
#include "kernels/cuda/access.cuh"
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/mma.cuh"

namespace shardscope::cuda {
namespace {

/// A block's shape: warps, 16 M rows to each, and the rows of the tiles that go by, as many as registers allow. More
/// rows to a warp read shared memory less often.
template <int M, int WARPS, int STEP>
struct BlockShape {
  static constexpr int kM = M, kThreads = WARPS * kWarp, kRows = 16 * M * WARPS, kStep = STEP, kN = STEP / 8;
};
template <int D>
using ForwardShape = std::conditional_t<D == 64, BlockShape<2, 4, 64>, BlockShape<1, 8, 64>>;
template <int D>
using QueriesShape = std::conditional_t<D == 64, BlockShape<2, 4, 32>, BlockShape<1, 8, 32>>;
template <int D>
using KeysShape = std::conditional_t<D == 64, BlockShape<2, 4, 32>, BlockShape<1, 8, 32>>;

/// Two stages of two tiles.
template <int D, int STEP>
struct Stages {
  std::uint32_t begin;
  static constexpr int kBytes = 4 * Tile<D>::bytes(STEP);
  __device__ Tile<D> tile(int stage, int which) const { return {begin + (2 * stage + which) * Tile<D>::bytes(STEP)}; }
};

/// The warp's first row of the block's, and where value c of the n-th 8 columns of its m-th 16 rows stands.
template <int M>
__device__ inline int warp_row() {
  return static_cast<int>(threadIdx.x) / kWarp * 16 * M;
}
template <int M>
__device__ inline int own_row(int m, int c) {
  return warp_row<M>() + 16 * m + static_cast<int>(threadIdx.x) % kWarp / 4 + c / 2 * 8;
}
__device__ inline int own_column(int n, int c) { return n * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + c % 2; }

/// f(m, n, c) for all values of a product.
template <int M, int N, class F>
__device__ inline void for_each_value(F&& f) {
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int n = 0; n < N; ++n) {
#pragma unroll
      for (int c = 0; c < 4; ++c) f(m, n, c);
    }
  }
}

/// Over the four threads that share a row.
__device__ inline float quad_sum(float v) {
  v += __shfl_xor_sync(kAllLanes, v, 1);
  return v + __shfl_xor_sync(kAllLanes, v, 2);
}
__device__ inline float quad_max(float v) {
  v = fmaxf(v, __shfl_xor_sync(kAllLanes, v, 1));
  return fmaxf(v, __shfl_xor_sync(kAllLanes, v, 2));
}

/// The running softmax of a thread's rows: the largest score so far, and this thread's part of the sum of exponentials
/// relative to it. Scores are not scaled yet: e^(scale s) = 2^(factor s).
template <int M>
struct Running {
  float top[M][2], sum[M][2];

  /// Scores become exponentials; what was summed before must be scaled by rescale.
  template <int N>
  __device__ void add(Product<M, N>& s, float factor, float (&rescale)[M][2]) {
#pragma unroll
    for (int m = 0; m < M; ++m) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float most = top[m][i];
#pragma unroll
        for (int n = 0; n < N; ++n) most = fmaxf(most, fmaxf(s[m][n][2 * i], s[m][n][2 * i + 1]));
        most = quad_max(most);
        const float base = most == -INFINITY ? 0.0f : most * factor;  // a row may see nothing
        rescale[m][i] = power_of_two(top[m][i] * factor - base);
        top[m][i] = most;
        float added = 0;
#pragma unroll
        for (int n = 0; n < N; ++n) {
#pragma unroll
          for (int c = 2 * i; c < 2 * i + 2; ++c) added += s[m][n][c] = power_of_two(s[m][n][c] * factor - base);
        }
        sum[m][i] = sum[m][i] * rescale[m][i] + added;
      }
    }
  }
};

template <class T, int D>
__global__ void __launch_bounds__(ForwardShape<D>::kThreads) forward(AttentionForwardCall<T> call) {
  using Shape = ForwardShape<D>;
  constexpr int M = Shape::kM, N = Shape::kN, kRows = Shape::kRows, kStep = Shape::kStep, kThreads = Shape::kThreads;
  extern __shared__ uint4 shared[];
  const Tile<D> q_tile{shared_address(shared)};
  const Stages<D, kStep> stages{q_tile.begin + Tile<D>::bytes(kRows)};
  const AttentionShape& s = call.shape;
  const Place place(s.visible.queries, kRows, s.heads, true);
  const std::int64_t b = place.sequence, kv = s.kv.at(b, place.head / (s.heads / s.kv_heads));
  const int rows = static_cast<int>(least(kRows, s.visible.queries - place.first));
  const int keys = static_cast<int>(s.visible(b, place.first + rows - 1));
  const float scale = 1.0f / sqrtf(static_cast<float>(D)), factor = scale * kLog2E;
  T* out = call.out + s.out.at(b, place.head) + place.first * s.out.row;
  float* lse = call.lse == nullptr ? nullptr : call.lse + s.lse_at(b, place.head) + place.first;
  if (keys == 0 && call.merge) return;

  const auto fetch = [&](int key, int stage) {
    const std::int64_t at = kv + key * s.kv.row;
    stages.tile(stage, 0).template copy_rows<kStep, kThreads>(call.k + at, s.kv.row, keys - key);
    stages.tile(stage, 1).template copy_rows<kStep, kThreads>(call.v + at, s.kv.row, keys - key);
  };
  q_tile.template copy_rows<kRows, kThreads>(call.q + s.q.at(b, place.head) + place.first * s.q.row, s.q.row, rows);
  copies_end_stage();
  if (keys > 0) fetch(0, 0);
  copies_end_stage();

  int seen[M][2];
  Running<M> running;
  Product<M, D / 8> acc = {};
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = own_row<M>(m, 2 * i);
      const bool merges = call.merge && row < rows;
      seen[m][i] = row < rows ? static_cast<int>(s.visible(b, place.first + row)) : 0;
      running.top[m][i] = merges ? lse[row] / scale : -INFINITY;
      running.sum[m][i] = merges && threadIdx.x % 4 == 0 ? 1.0f : 0.0f;
    }
  }
  if (call.merge) {
    for_each_value<M, D / 8>([&](int m, int n, int c) {
      const int row = own_row<M>(m, c);
      if (row < rows) acc[m][n][c] = to_float(out[row * s.out.row + own_column(n, c)]);
    });
  }
  const int all_see = warp_row<M>() < rows ? static_cast<int>(s.visible(b, place.first + warp_row<M>())) : 0;
  copies_wait<1>();
  __syncthreads();
  const HeldRows<D, M> q(Rows<D, M>{q_tile, warp_row<M>()});
  for (int key = 0, stage = 0; key < keys; key += kStep, stage ^= 1) {
    if (key + kStep < keys) fetch(key + kStep, stage ^ 1);
    copies_end_stage();
    copies_wait<1>();
    __syncthreads();
    Product<M, N> p;
    float rescale[M][2];
    multiply_rows<T>(q, stages.tile(stage, 0), p);
    if (key + kStep > all_see) {
      for_each_value<M, N>([&](int m, int n, int c) {
        if (key + own_column(n, c) >= seen[m][c / 2]) p[m][n][c] = -INFINITY;
      });
    }
    running.add(p, factor, rescale);
    for_each_value<M, D / 8>([&](int m, int n, int c) { acc[m][n][c] *= rescale[m][c / 2]; });
    add_product<T>(p, stages.tile(stage, 1), acc);
    __syncthreads();
  }
  float inverse[M][2];
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float sum = quad_sum(running.sum[m][i]);
      const int row = own_row<M>(m, 2 * i);
      inverse[m][i] = sum > 0 ? 1.0f / sum : 0.0f;  // 0: sees no key
      if (lse != nullptr && threadIdx.x % 4 == 0 && row < rows) lse[row] = running.top[m][i] * scale + logf(sum);
    }
  }
  store_rows(acc, inverse, q_tile, warp_row<M>(), rows, out, s.out.row);
}

/// delta of each row and head: the sum of d_out * out. A pack of 8 to a thread; moves 4 bytes per element.
template <class T, int D>
__global__ void row_products(AttentionBackwardCall<T> call) {
  constexpr int kLanes = D / Vectors<T>::kN;
  const AttentionShape& s = call.shape;
  const std::int64_t i = first_index(), row = i / kLanes % s.visible.queries, head = i / kLanes / s.visible.queries;
  float sum = 0;
  if (head < s.batch * s.heads) {
    const std::int64_t at = s.out.at(head / s.heads, head % s.heads) + row * s.out.row + i % kLanes * Vectors<T>::kN;
    float a[Vectors<T>::kN], b[Vectors<T>::kN];
    Vectors<T>{const_cast<T*>(call.d_out)}.load(at, a);
    Vectors<T>{const_cast<T*>(call.out)}.load(at, b);
#pragma unroll
    for (int j = 0; j < Vectors<T>::kN; ++j) sum += a[j] * b[j];
  }
#pragma unroll
  for (int step = kLanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
  if (i % kLanes == 0 && head < s.batch * s.heads) call.delta[i / kLanes] = sum;
}

/// A query's log-sum-exp, in powers of two (0 where it sees nothing and will see -infinity for scores), and its delta.
struct QueryScalars {
  float lse2, delta;
};
template <class T>
__device__ inline QueryScalars scalars_of(const AttentionBackwardCall<T>& call, std::int64_t at) {
  const float lse = call.lse[at];
  return {lse == -INFINITY ? 0.0f : lse * kLog2E, call.delta[at]};
}

/// Scores become probabilities and d_p the gradients of scores. e^(scale s - lse) = 2^(factor s - lse2); of(m, n, c):
/// the scalars of the value's query.
template <int M, int N, class Of>
__device__ inline void score_gradients(Product<M, N>& p, Product<M, N>& d_p, float factor, Of&& of) {
  for_each_value<M, N>([&](int m, int n, int c) {
    const QueryScalars query = of(m, n, c);
    p[m][n][c] = power_of_two(p[m][n][c] * factor - query.lse2);
    d_p[m][n][c] = p[m][n][c] * (d_p[m][n][c] - query.delta);
  });
}

/// d_q of a block's queries, over all keys they see.
template <class T, int D>
__global__ void __launch_bounds__(QueriesShape<D>::kThreads) backward_queries(AttentionBackwardCall<T> call) {
  using Shape = QueriesShape<D>;
  constexpr int M = Shape::kM, N = Shape::kN, kRows = Shape::kRows, kStep = Shape::kStep, kThreads = Shape::kThreads;
  extern __shared__ uint4 shared[];
  const Tile<D> q_tile{shared_address(shared)}, d_out_tile{q_tile.begin + Tile<D>::bytes(kRows)};
  const Stages<D, kStep> stages{d_out_tile.begin + Tile<D>::bytes(kRows)};
  const AttentionShape& s = call.shape;
  const Place place(s.visible.queries, kRows, s.heads, true);
  const std::int64_t b = place.sequence, kv = s.kv.at(b, place.head / (s.heads / s.kv_heads));
  const int rows = static_cast<int>(least(kRows, s.visible.queries - place.first));
  const int keys = static_cast<int>(s.visible(b, place.first + rows - 1));
  const float scale = 1.0f / sqrtf(static_cast<float>(D)), factor = scale * kLog2E;
  const std::int64_t q = s.q.at(b, place.head) + place.first * s.q.row;
  const std::int64_t d_out = s.out.at(b, place.head) + place.first * s.out.row;

  const auto fetch = [&](int key, int stage) {
    const std::int64_t at = kv + key * s.kv.row;
    stages.tile(stage, 0).template copy_rows<kStep, kThreads>(call.k + at, s.kv.row, keys - key);
    stages.tile(stage, 1).template copy_rows<kStep, kThreads>(call.v + at, s.kv.row, keys - key);
  };
  q_tile.template copy_rows<kRows, kThreads>(call.q + q, s.q.row, rows);
  d_out_tile.template copy_rows<kRows, kThreads>(call.d_out + d_out, s.out.row, rows);
  if (keys > 0) fetch(0, 0);
  copies_end_stage();

  int seen[M][2];
  QueryScalars scalars[M][2] = {};
  Product<M, D / 8> acc = {};
#pragma unroll
  for (int m = 0; m < M; ++m) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = own_row<M>(m, 2 * i);
      seen[m][i] = row < rows ? static_cast<int>(s.visible(b, place.first + row)) : 0;
      if (row < rows) scalars[m][i] = scalars_of(call, s.lse_at(b, place.head) + place.first + row);
    }
  }
  const int all_see = warp_row<M>() < rows ? static_cast<int>(s.visible(b, place.first + warp_row<M>())) : 0;
  for (int key = 0, stage = 0; key < keys; key += kStep, stage ^= 1) {
    if (key + kStep < keys) fetch(key + kStep, stage ^ 1);
    copies_end_stage();
    copies_wait<1>();
    __syncthreads();
    const Tile<D> k_tile = stages.tile(stage, 0);
    Product<M, N> p, d_p;
    multiply_rows<T>(Rows<D, M>{q_tile, warp_row<M>()}, k_tile, p);
    multiply_rows<T>(Rows<D, M>{d_out_tile, warp_row<M>()}, stages.tile(stage, 1), d_p);
    if (key + kStep > all_see) {
      for_each_value<M, N>([&](int m, int n, int c) {
        if (key + own_column(n, c) >= seen[m][c / 2]) p[m][n][c] = -INFINITY;
      });
    }
    score_gradients(p, d_p, factor, [&](int m, int, int c) { return scalars[m][c / 2]; });
    add_product<T>(d_p, k_tile, acc);
    __syncthreads();
  }
  copies_wait<0>();
  __syncthreads();
  if (call.accumulate) {
    for_each_value<M, D / 8>([&](int m, int n, int c) {
      const int row = own_row<M>(m, c);
      if (row < rows) acc[m][n][c] += to_float(call.d_q[q + row * s.q.row + own_column(n, c)]) / scale;
    });
    __syncthreads();  // before other threads write them
  }
  float factors[M][2];
#pragma unroll
  for (int i = 0; i < 2 * M; ++i) factors[i / 2][i % 2] = scale;
  store_rows(acc, factors, q_tile, warp_row<M>(), rows, call.d_q + q, s.q.row);
}

/// The first step of kStep queries of which any sees more than `keys` keys; later ones do, too.
template <int STEP>
__device__ inline int first_step(const Visible& visible, std::int64_t sequence, std::int64_t keys) {
  int first = 0, last = static_cast<int>((visible.queries + STEP - 1) / STEP);
  while (first < last) {
    const int middle = (first + last) / 2;
    if (visible(sequence, least(visible.queries, (middle + 1) * STEP) - 1) > keys) {
      last = middle;
    } else {
      first = middle + 1;
    }
  }
  return first;
}

/// d_k and d_v of a block's keys, over all queries of the group's heads that see any of them. Rows of products are
/// keys.
template <class T, int D>
__global__ void __launch_bounds__(KeysShape<D>::kThreads) backward_keys(AttentionBackwardCall<T> call) {
  using Shape = KeysShape<D>;
  constexpr int M = Shape::kM, N = Shape::kN, kRows = Shape::kRows, kStep = Shape::kStep, kThreads = Shape::kThreads;
  extern __shared__ uint4 shared[];
  __shared__ alignas(16) QueryScalars scalars[2][kStep];
  __shared__ int seen[2][kStep];
  const Tile<D> k_tile{shared_address(shared)}, v_tile{k_tile.begin + Tile<D>::bytes(kRows)};
  const Stages<D, kStep> stages{v_tile.begin + Tile<D>::bytes(kRows)};
  const AttentionShape& s = call.shape;
  const Place place(s.visible.keys, kRows, s.kv_heads, false);
  const std::int64_t b = place.sequence, kv = s.kv.at(b, place.head) + place.first * s.kv.row;
  const int rows = static_cast<int>(least(kRows, s.visible.keys - place.first));
  const int queries = static_cast<int>(s.visible.queries), group = static_cast<int>(s.heads / s.kv_heads);
  const int own_key = static_cast<int>(place.first) + warp_row<M>(),
            skipped = first_step<kStep>(s.visible, b, place.first);
  const int steps_of_head = (queries + kStep - 1) / kStep - skipped, steps = steps_of_head * group;
  const float scale = 1.0f / sqrtf(static_cast<float>(D)), factor = scale * kLog2E;

  const auto fetch = [&](int step, int stage) {
    const std::int64_t head = place.head * group + step / steps_of_head;
    const int query = (skipped + step % steps_of_head) * kStep, n = queries - query, i = static_cast<int>(threadIdx.x);
    const T *q = call.q + s.q.at(b, head) + query * s.q.row,
            *d_out = call.d_out + s.out.at(b, head) + query * s.out.row;
    stages.tile(stage, 0).template copy_rows<kStep, kThreads>(q, s.q.row, n);
    stages.tile(stage, 1).template copy_rows<kStep, kThreads>(d_out, s.out.row, n);
    if (i >= kStep) return;
    scalars[stage][i] = i < n ? scalars_of(call, s.lse_at(b, head) + query + i) : QueryScalars{};
    seen[stage][i] = i < n ? static_cast<int>(s.visible(b, query + i)) : 0;
  };
  k_tile.template copy_rows<kRows, kThreads>(call.k + kv, s.kv.row, rows);
  v_tile.template copy_rows<kRows, kThreads>(call.v + kv, s.kv.row, rows);
  if (steps > 0) fetch(0, 0);
  copies_end_stage();

  Product<M, D / 8> d_k = {}, d_v = {};
  for (int step = 0, stage = 0; step < steps; ++step, stage ^= 1) {
    if (step + 1 < steps) fetch(step + 1, stage ^ 1);
    copies_end_stage();
    copies_wait<1>();
    __syncthreads();
    const Tile<D> q_tile = stages.tile(stage, 0), d_out_tile = stages.tile(stage, 1);
    Product<M, N> p, d_p;
    multiply_rows<T>(Rows<D, M>{k_tile, warp_row<M>()}, q_tile, p);
    multiply_rows<T>(Rows<D, M>{v_tile, warp_row<M>()}, d_out_tile, d_p);
    if (seen[stage][0] < own_key + 16 * M || seen[stage][kStep - 1] == 0) {
      for_each_value<M, N>([&](int m, int n, int c) {
        if (own_key + own_row<M>(m, c) - warp_row<M>() >= seen[stage][own_column(n, c)]) p[m][n][c] = -INFINITY;
      });
    }
    score_gradients(p, d_p, factor, [&](int, int n, int c) { return scalars[stage][own_column(n, c)]; });
    add_product<T>(p, d_out_tile, d_v);
    add_product<T>(d_p, q_tile, d_k);
    __syncthreads();
  }
  copies_wait<0>();
  __syncthreads();
  float scaled[M][2], plain[M][2];
#pragma unroll
  for (int i = 0; i < 2 * M; ++i) scaled[i / 2][i % 2] = scale, plain[i / 2][i % 2] = 1;
  store_rows(d_k, scaled, k_tile, warp_row<M>(), rows, call.d_k + kv, s.kv.row);
  store_rows(d_v, plain, v_tile, warp_row<M>(), rows, call.d_v + kv, s.kv.row);
}

/// Whether rows of heads can be moved 16 bytes at a time.
template <class T>
bool fits_16(const T* data, const HeadRows& rows) {
  constexpr std::int64_t kN = Vectors<T>::kN;
  return is_aligned(data, 16) && rows.sequence % kN == 0 && rows.head % kN == 0 && rows.row % kN == 0;
}

constexpr std::int64_t kMostRows = std::int64_t{1} << 30;  // queries and keys are counted in 32 bits

bool can_use(const AttentionShape& s, const Kernel& kernel) {
  return kernel.device().compute >= 80 && (s.d == 64 || s.d == 128) && s.visible.queries < kMostRows &&
         s.visible.keys < kMostRows;
}

template <class Shape, int D, class Call>
void launch(void (*kernel_of)(Call), const Call& call, std::int64_t rows, std::int64_t heads, int kept,
            const Kernel& kernel, const char* name) {
  const int bytes = kept * Tile<D>::bytes(Shape::kRows) + Stages<D, Shape::kStep>::kBytes;
  check(cudaFuncSetAttribute(kernel_of, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), name);
  const auto blocks = static_cast<unsigned>(blocks_of(call.shape, rows, Shape::kRows, heads));
  kernel_of<<<blocks, Shape::kThreads, static_cast<std::size_t>(bytes), kernel.stream()>>>(call);
  check_launch(name);
}

template <class T, int D>
void forward_of(const AttentionForwardCall<T>& call, const Kernel& kernel) {
  const AttentionShape& s = call.shape;
  launch<ForwardShape<D>, D>(forward<T, D>, call, s.visible.queries, s.heads, 1, kernel, "attention");
}
template <class T, int D>
void backward_of(const AttentionBackwardCall<T>& call, const Kernel& kernel) {
  const AttentionShape& s = call.shape;
  const std::int64_t packs = s.batch * s.heads * s.visible.queries * (D / Vectors<T>::kN);
  row_products<T, D><<<static_cast<unsigned>((packs + kThreads - 1) / kThreads), kThreads, 0, kernel.stream()>>>(call);
  check_launch("attention_backward (rows)");
  launch<QueriesShape<D>, D>(backward_queries<T, D>, call, s.visible.queries, s.heads, 2, kernel,
                             "attention_backward (queries)");
  launch<KeysShape<D>, D>(backward_keys<T, D>, call, s.visible.keys, s.kv_heads, 2, kernel,
                          "attention_backward (keys)");
}

}  // namespace

template <class T>
bool mma_attention_forward(const AttentionForwardCall<T>& call, const Kernel& kernel) {
  if constexpr (sizeof(T) == 2) {
    const AttentionShape& s = call.shape;
    if (!can_use(s, kernel) || !fits_16(call.q, s.q) || !fits_16(call.k, s.kv) || !fits_16(call.v, s.kv) ||
        !fits_16(call.out, s.out)) {
      return false;
    }
    s.d == 64 ? forward_of<T, 64>(call, kernel) : forward_of<T, 128>(call, kernel);
    return true;
  }
  return false;
}

template <class T>
bool mma_attention_backward(const AttentionBackwardCall<T>& call, const Kernel& kernel) {
  if constexpr (sizeof(T) == 2) {
    const AttentionShape& s = call.shape;
    const bool fits = fits_16(call.q, s.q) && fits_16(call.d_q, s.q) && fits_16(call.k, s.kv) &&
                      fits_16(call.v, s.kv) && fits_16(call.d_k, s.kv) && fits_16(call.d_v, s.kv) &&
                      fits_16(call.d_out, s.out) && fits_16(call.out, s.out);
    if (!fits || !can_use(s, kernel)) return false;
    s.d == 64 ? backward_of<T, 64>(call, kernel) : backward_of<T, 128>(call, kernel);
    return true;
  }
  return false;
}

template bool mma_attention_forward(const AttentionForwardCall<float>&, const Kernel&);
template bool mma_attention_forward(const AttentionForwardCall<__nv_bfloat16>&, const Kernel&);
template bool mma_attention_forward(const AttentionForwardCall<__half>&, const Kernel&);
template bool mma_attention_backward(const AttentionBackwardCall<float>&, const Kernel&);
template bool mma_attention_backward(const AttentionBackwardCall<__nv_bfloat16>&, const Kernel&);
template bool mma_attention_backward(const AttentionBackwardCall<__half>&, const Kernel&);

}  // namespace shardscope::cuda
