// Embedding: rows of a table, and the gradients that are added to them. The gradient sorts the rows by token, so that a
// block has all rows of one token and adds them in their order: the same bits always, without atomics.
#include <algorithm>

#include "core/check.h"
#include "kernels/cuda/access.cuh"

namespace shardscope::cuda {
namespace {

/// What of the whole vocabulary a table is.
struct TablePart {
  std::int64_t first, vocab, whole;
  /// The token's row of the table, or -1. A token outside the whole vocabulary stops the device: the data does not fit
  /// the model, which the host cannot see.
  __device__ std::int64_t row_of(std::int32_t token) const {
    if (token < 0 || token >= whole) __trap();
    const std::int64_t row = token - first;
    return row >= 0 && row < vocab ? row : -1;
  }
};
template <class Op>
TablePart part_of(const Op& op) {
  return {op.first, op.vocab, op.total > 0 ? op.total : op.vocab};
}

__device__ std::int64_t position_of(const SequencePart& part, std::int64_t row, std::int64_t rows) {
  return part.start + row + (2 * row >= rows ? part.jump : 0);
}

/// A block takes a row at a time. Moves the bytes of out and of table (and of positions, if there are any, which mostly
/// come from the cache) per element.
template <class A>
__global__ void embed(const std::int32_t* tokens, A table, A positions, A out, TablePart part, SequencePart sequence,
                      std::int64_t rows, std::int64_t hidden, std::int64_t seq) {
  constexpr int kN = A::kN;
  for (std::int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const std::int64_t from = part.row_of(tokens[row]), position = position_of(sequence, row % seq, seq);
    for (std::int64_t c = threadIdx.x * kN; c < hidden; c += blockDim.x * kN) {
      float sum[kN] = {}, shift[kN] = {};
      if (from >= 0) table.load(from * hidden + c, sum);
      if (positions) positions.load(position * hidden + c, shift);
#pragma unroll
      for (int j = 0; j < kN; ++j) sum[j] += shift[j];
      out.store(row * hidden + c, sum);
    }
  }
}

/// Rows sorted by token, of equal tokens the earlier row first.
struct Sorted {
  std::int32_t *tokens, *rows;
};

constexpr int kRanked = 4;  // rows that a warp ranks at a time

/// Every token is compared with every other: R^2 steps, some 40 us for 16 K rows on an H100 (computed), less than the
/// gradients take.
__global__ void sort_rows(const std::int32_t* tokens, int rows, Sorted sorted) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warps = static_cast<int>(gridDim.x * blockDim.x) / kWarp;
  for (int first = (static_cast<int>(first_index()) / kWarp) * kRanked; first < rows; first += warps * kRanked) {
    std::int32_t mine[kRanked];
    int place[kRanked] = {};
#pragma unroll
    for (int k = 0; k < kRanked; ++k) mine[k] = tokens[min(first + k, rows - 1)];
#pragma unroll 4
    for (int i = lane; i < rows; i += kWarp) {
      const std::int32_t token = tokens[i];
#pragma unroll
      for (int k = 0; k < kRanked; ++k) place[k] += token < mine[k] || (token == mine[k] && i < first + k) ? 1 : 0;
    }
#pragma unroll
    for (int k = 0; k < kRanked; ++k) {
      const int to = warp_sum(place[k]);
      if (lane != k || first + k >= rows) continue;
      sorted.tokens[to] = mine[k];
      sorted.rows[to] = first + k;
    }
  }
}

/// Columns [c, c + kN) of a row of gradients, where a thread sums them.
template <class A>
__device__ void add_row(const A& from, std::int64_t at, float (&sum)[A::kN]) {
  float v[A::kN];
  from.load(at, v);
#pragma unroll
  for (int j = 0; j < A::kN; ++j) sum[j] += v[j];
}

/// Elements [at, at + kN) of gradients that have a dtype of their own, by packs where their address allows.
template <class T, int kN>
constexpr int kPart = kN < 16 / static_cast<int>(sizeof(T)) ? kN : 16 / static_cast<int>(sizeof(T));
template <class T, int kN>
__device__ bool lies_in_packs(const T* at) {
  return reinterpret_cast<std::uintptr_t>(at) % (kPart<T, kN> * sizeof(T)) == 0;
}
template <class T, int kN>
__device__ void load_typed(const T* from, float (&sum)[kN]) {
  constexpr int kEach = kPart<T, kN>;
  const bool packs = lies_in_packs<T, kN>(from);
#pragma unroll
  for (int first = 0; first < kN; first += kEach) {
    Pack<T, kEach> pack;
    if (packs) {
      pack = load_pack<kEach>(from + first);
    } else {
#pragma unroll
      for (int j = 0; j < kEach; ++j) pack.at[j] = from[first + j];
    }
#pragma unroll
    for (int j = 0; j < kEach; ++j) sum[first + j] = to_float(pack.at[j]);
  }
}
template <class T, int kN>
__device__ void store_typed(T* to, const float (&sum)[kN]) {
  constexpr int kEach = kPart<T, kN>;
  const bool packs = lies_in_packs<T, kN>(to);
#pragma unroll
  for (int first = 0; first < kN; first += kEach) {
    Pack<T, kEach> pack;
#pragma unroll
    for (int j = 0; j < kEach; ++j) pack.at[j] = from_float<T>(sum[first + j]);
    if (packs) {
      store_pack<kEach>(to + first, pack);
    } else {
#pragma unroll
      for (int j = 0; j < kEach; ++j) to[first + j] = pack.at[j];
    }
  }
}
template <int kN>
__device__ void load_sums(const FloatView& from, std::int64_t at, float (&sum)[kN]) {
  if (from.dtype == DType::kF32) return load_typed(static_cast<const float*>(from.data) + at, sum);
  if (from.dtype == DType::kBF16) return load_typed(static_cast<const __nv_bfloat16*>(from.data) + at, sum);
  load_typed(static_cast<const __half*>(from.data) + at, sum);
}
template <int kN>
__device__ void store_sums(const FloatView& to, std::int64_t at, const float (&sum)[kN]) {
  if (to.dtype == DType::kF32) return store_typed(static_cast<float*>(to.data) + at, sum);
  if (to.dtype == DType::kBF16) return store_typed(static_cast<__nv_bfloat16*>(to.data) + at, sum);
  store_typed(static_cast<__half*>(to.data) + at, sum);
}

/// Block (p, y): the rows of the token that stands at place p of the order, if it is that token's first; a block's
/// width of columns. Moves the bytes of d_out per element, and twice those of the table's rows that occur.
template <class A>
__global__ void add_by_token(Sorted sorted, A d_out, FloatView d_table, TablePart part, int rows, std::int64_t hidden) {
  constexpr int kN = A::kN;
  const int place = static_cast<int>(blockIdx.x), lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int32_t token = sorted.tokens[place];
  if (place > 0 && sorted.tokens[place - 1] == token) return;
  const std::int64_t to = part.row_of(token), col = (std::int64_t{blockIdx.y} * blockDim.x + threadIdx.x) * kN;
  if (to < 0) return;
  const bool inside = col < hidden;  // the others help the warp to look ahead
  float sum[kN] = {};
  if (inside) load_sums(d_table, to * hidden + col, sum);
  for (int next = place;; next += kWarp) {
    const bool same = next + lane < rows && sorted.tokens[next + lane] == token;
    const int row = same ? sorted.rows[next + lane] : 0, count = __popc(__ballot_sync(kAllLanes, same));
#pragma unroll 4
    for (int i = 0; i < count; ++i) {
      const std::int64_t from = __shfl_sync(kAllLanes, row, i);
      if (inside) add_row(d_out, from * hidden + col, sum);
    }
    if (count < kWarp) break;
  }
  if (inside) store_sums(d_table, to * hidden + col, sum);
}

/// Block (s, y): row s of every sequence, in their order.
template <class A>
__global__ void add_by_position(A d_out, FloatView d_positions, SequencePart part, std::int64_t rows,
                                std::int64_t hidden, std::int64_t seq) {
  constexpr int kN = A::kN;
  const std::int64_t col = (std::int64_t{blockIdx.y} * blockDim.x + threadIdx.x) * kN;
  if (col >= hidden) return;
  const std::int64_t to = position_of(part, blockIdx.x, seq) * hidden + col;
  float sum[kN];
  load_sums(d_positions, to, sum);
#pragma unroll 4
  for (std::int64_t row = blockIdx.x; row < rows; row += seq) add_row(d_out, row * hidden + col, sum);
  store_sums(d_positions, to, sum);
}

/// Threads that take `hidden` columns in vectors, and blocks beside each other if one is not enough.
struct Columns {
  unsigned threads, blocks;
};
Columns columns_of(std::int64_t hidden, int vector) {
  const auto vectors = static_cast<unsigned>((hidden + vector - 1) / vector);
  const unsigned threads = std::min(128U, (vectors + kWarp - 1) / kWarp * kWarp);
  return {threads, (vectors + threads - 1) / threads};
}

}  // namespace

void run(const Embedding& op, Kernel& kernel) {
  for_access(kernel, op.hidden, {op.out, op.table, op.positions}, [&](auto access) {
    using A = decltype(access);
    const unsigned threads = columns_of(op.hidden, A::kN).threads;
    embed<<<blocks_for(kernel, op.rows, 1), threads, 0, kernel.stream()>>>(
        kernel.data<const std::int32_t>(op.tokens), A::of(kernel, op.table), A::of(kernel, op.positions),
        A::of(kernel, op.out), part_of(op), op.part, op.rows, op.hidden, op.seq);
    check_launch("embedding");
  });
}

void run(const EmbeddingBackward& op, Kernel& kernel) {
  SS_CHECK(op.rows > 0 && op.rows < std::int64_t{1} << 31, op.rows);
  const auto rows = static_cast<int>(op.rows);
  auto* scratch = kernel.scratch<std::int32_t>(2 * op.rows);
  const Sorted sorted{scratch, scratch + op.rows};
  sort_rows<<<blocks_for(kernel, (op.rows + kRanked - 1) / kRanked, kThreads / kWarp), kThreads, 0, kernel.stream()>>>(
      kernel.data<const std::int32_t>(op.tokens), rows, sorted);
  check_launch("embedding_backward");
  for_access(kernel, op.hidden, {op.d_out}, [&](auto access) {
    using A = decltype(access);
    const Columns columns = columns_of(op.hidden, A::kN);
    const A d_out = A::of(kernel, op.d_out);
    add_by_token<<<dim3(static_cast<unsigned>(rows), columns.blocks), columns.threads, 0, kernel.stream()>>>(
        sorted, d_out, view(kernel, op.d_table), part_of(op), rows, op.hidden);
    check_launch("embedding_backward");
    if (op.d_positions.empty()) return;
    add_by_position<<<dim3(static_cast<unsigned>(std::min(op.seq, op.rows)), columns.blocks), columns.threads, 0,
                      kernel.stream()>>>(d_out, view(kernel, op.d_positions), op.part, op.rows, op.hidden, op.seq);
    check_launch("embedding_backward");
  });
}

}  // namespace shardscope::cuda
