// Norms, and sums over rows. A row belongs to a team of threads: a warp, or a whole block if it is long. It is read
// from memory once and again from the first-level cache. Sums over rows are taken by block, with blocks that depend on
// the shape alone, and these are then added in order: the same bits on every device.
#include <algorithm>

#include "kernels/cuda/access.cuh"

namespace shardscope::cuda {
namespace {

template <bool kIsBlock>
struct Team {
  static __device__ int lane() { return static_cast<int>(kIsBlock ? threadIdx.x : threadIdx.x % kWarp); }
  static __device__ int size() { return static_cast<int>(kIsBlock ? blockDim.x : kWarp); }
  static __device__ int number() { return static_cast<int>(kIsBlock ? 0 : threadIdx.x / kWarp); }
  static __device__ int per_block() { return static_cast<int>(kIsBlock ? 1 : blockDim.x / kWarp); }
  static __device__ std::int64_t first_row() { return std::int64_t{blockIdx.x} * per_block() + number(); }
  static __device__ std::int64_t row_step() { return std::int64_t{gridDim.x} * per_block(); }
  static __device__ float sum(float v) {
    if constexpr (kIsBlock) return block_sum(v);
    return warp_sum(v);
  }
};
using WarpTeam = Team<false>;
using BlockTeam = Team<true>;

/// The longest row of a warp; how many warps make a block; the most threads of a block that has one row.
constexpr std::int64_t kMostPerWarp = 768;
constexpr int kWarpTeams = 8, kMostBlockTeam = 512;

/// f(team, threads, teams per block).
template <class F>
void for_team(std::int64_t hidden, int vector, F&& f) {
  if (hidden <= kMostPerWarp) return f(WarpTeam{}, kWarpTeams * kWarp, kWarpTeams);
  const std::int64_t wanted = (hidden / vector + kWarp - 1) / kWarp * kWarp;
  f(BlockTeam{}, static_cast<int>(std::clamp<std::int64_t>(wanted, kWarp, kMostBlockTeam)), 1);
}

/// Moves the bytes of x and out per element. RmsNorm is the same around a mean of zero.
template <bool kCentred, class TeamOf, class A>
__global__ void norm(A x, A weight, A bias, A out, float* mean, float* rstd, std::int64_t rows, std::int64_t hidden,
                     float eps) {
  constexpr int kN = A::kN;
  const std::int64_t first = TeamOf::lane() * kN, step = TeamOf::size() * kN;
  for (std::int64_t row = TeamOf::first_row(); row < rows; row += TeamOf::row_step()) {
    const std::int64_t at = row * hidden;
    float centre = 0, squares = 0;
    if constexpr (kCentred) {
      for (std::int64_t c = first; c < hidden; c += step) {
        float v[kN];
        x.load(at + c, v);
#pragma unroll
        for (int j = 0; j < kN; ++j) centre += v[j];
      }
      centre = TeamOf::sum(centre) / static_cast<float>(hidden);
    }
    for (std::int64_t c = first; c < hidden; c += step) {
      float v[kN];
      x.load(at + c, v);
#pragma unroll
      for (int j = 0; j < kN; ++j) squares += (v[j] - centre) * (v[j] - centre);
    }
    const float inverse = 1.0f / sqrtf(TeamOf::sum(squares) / static_cast<float>(hidden) + eps);
    for (std::int64_t c = first; c < hidden; c += step) {
      float v[kN], w[kN], shift[kN] = {};
      x.load(at + c, v);
      weight.load(c, w);
      if (bias) bias.load(c, shift);
#pragma unroll
      for (int j = 0; j < kN; ++j) v[j] = (v[j] - centre) * inverse * w[j] + shift[j];
      out.store(at + c, v);
    }
    if (TeamOf::lane() != 0) continue;
    rstd[row] = inverse;
    if constexpr (kCentred) mean[row] = centre;
  }
}

template <bool kCentred, class Op>
void launch_norm(const Op& op, const Region& bias, float* mean, Kernel& kernel) {
  for_access(kernel, op.hidden, {op.x, op.weight, bias, op.out}, [&](auto access) {
    using A = decltype(access);
    for_team(op.hidden, A::kN, [&](auto team, int threads, int teams) {
      norm<kCentred, decltype(team)><<<blocks_for(kernel, op.rows, teams), threads, 0, kernel.stream()>>>(
          A::of(kernel, op.x), A::of(kernel, op.weight), A::of(kernel, bias), A::of(kernel, op.out), mean,
          kernel.data(op.rstd), op.rows, op.hidden, static_cast<float>(op.eps));
      check_launch(Op::kName);
    });
  });
}

/// Column sums still to be added: partial[p * stride + c], p below count, for up to two outputs that lie `cols` apart.
struct Partials {
  const float* data;
  std::int64_t count, stride, cols;
  FloatView out[2];
  bool accumulate;
};

constexpr int kAdders = 16;  // threads that share a column

/// Block (x, y): 32 columns of output y, each partial row read by one warp.
__global__ void add_partials(Partials p) {
  __shared__ float sums[kAdders][kWarp];
  const FloatView out = p.out[blockIdx.y];
  const std::int64_t col = std::int64_t{blockIdx.x} * kWarp + threadIdx.x;
  float sum = 0;
  if (col < p.cols) {
    const float* from = p.data + blockIdx.y * p.cols + col;
    for (std::int64_t i = threadIdx.y; i < p.count; i += kAdders) sum += from[i * p.stride];
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || col >= p.cols || !out) return;
  for (int i = 1; i < kAdders; ++i) sum += sums[i][threadIdx.x];
  out.store(col, p.accumulate ? out.load(col) + sum : sum);
}

void launch_add(const Kernel& kernel, const Partials& p, unsigned outputs) {
  const dim3 blocks(static_cast<unsigned>((p.cols + kWarp - 1) / kWarp), outputs);
  add_partials<<<blocks, dim3(kWarp, kAdders), 0, kernel.stream()>>>(p);
  check_launch("adding column sums");
}

/// Operands of a norm's gradients.
template <class A>
struct BackwardRows {
  A d_out, x, weight, d_x;
  const float *mean, *rstd;
  std::int64_t rows, hidden;
  bool add;  ///< to d_x
};

/// With g = d_out * weight and h = (x - mean) * rstd:  d_x = rstd * (g - mean(g) - h * mean(g h)), where RmsNorm lacks
/// the mean(g);  d_weight += d_out * h;  d_bias += d_out. Moves the bytes of d_out, x and d_x per element, those of d_x
/// twice if added to. A thread keeps its kVectors vectors of a row, and the column sums of all its rows, in registers.
/// partial [blocks, cols] gets each block's sums.
template <bool kCentred, class TeamOf, class T, int kVectors>
__global__ void __launch_bounds__(kMostBlockTeam) norm_backward(BackwardRows<Vectors<T>> op, float* partial) {
  extern __shared__ float team_sums[];
  constexpr int kN = Vectors<T>::kN;
  using Values = Pack<T, kN>;
  const int hidden = static_cast<int>(op.hidden), first = TeamOf::lane() * kN, step = TeamOf::size() * kN;
  float d_weight[kVectors][kN] = {}, d_bias[kCentred ? kVectors : 1][kN] = {};
  for (std::int64_t row = TeamOf::first_row(); row < op.rows; row += TeamOf::row_step()) {
    const std::int64_t at = row * hidden;
    Values d[kVectors] = {}, v[kVectors] = {}, old[kVectors] = {};
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
      if (first + k * step >= hidden) continue;
      d[k] = load_pack<kN>(op.d_out.data + at + first + k * step);
      v[k] = load_pack<kN>(op.x.data + at + first + k * step);
      if (op.add) old[k] = load_pack<kN>(op.d_x.data + at + first + k * step);
    }
    const float inverse = op.rstd[row], centre = kCentred ? op.mean[row] : 0.0f;
    float sum_g = 0, sum_gh = 0;
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
      if (first + k * step >= hidden) continue;
      const Values w = load_pack<kN>(op.weight.data + first + k * step);
#pragma unroll
      for (int j = 0; j < kN; ++j) {
        const float g = to_float(d[k].at[j]) * to_float(w.at[j]);
        sum_gh += g * ((to_float(v[k].at[j]) - centre) * inverse);
        sum_g += g;
      }
    }
    const float mean_gh = TeamOf::sum(sum_gh) / static_cast<float>(hidden);
    const float mean_g = kCentred ? TeamOf::sum(sum_g) / static_cast<float>(hidden) : 0.0f;
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
      if (first + k * step >= hidden) continue;
      const Values w = load_pack<kN>(op.weight.data + first + k * step);
#pragma unroll
      for (int j = 0; j < kN; ++j) {
        const float h = (to_float(v[k].at[j]) - centre) * inverse, d_j = to_float(d[k].at[j]);
        const float gradient = (d_j * to_float(w.at[j]) - mean_g - h * mean_gh) * inverse;
        old[k].at[j] = from_float<T>(op.add ? to_float(old[k].at[j]) + gradient : gradient);
        d_weight[k][j] += d_j * h;
        if constexpr (kCentred) d_bias[k][j] += d_j;
      }
      store_pack<kN>(op.d_x.data + at + first + k * step, old[k]);
    }
  }
  const int cols = kCentred ? 2 * hidden : hidden;
  float* sums = TeamOf::per_block() == 1 ? partial + std::int64_t{blockIdx.x} * cols : team_sums;
  for (int team = 0; team < TeamOf::per_block(); ++team) {  // one after the other
    if (team > 0) __syncthreads();
    if (team != TeamOf::number()) continue;
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
      for (int j = 0; j < kN && first + k * step < hidden; ++j) {
        float* to = sums + first + k * step + j;
        to[0] = (team > 0 ? to[0] : 0.0f) + d_weight[k][j];
        if constexpr (kCentred) to[hidden] = (team > 0 ? to[hidden] : 0.0f) + d_bias[k][j];
      }
    }
  }
  if (TeamOf::per_block() == 1) return;
  __syncthreads();
  for (int c = static_cast<int>(threadIdx.x); c < cols; c += static_cast<int>(blockDim.x)) {
    partial[std::int64_t{blockIdx.x} * cols + c] = team_sums[c];
  }
}

/// The same for operands of any dtypes at any address, and rows of any length: a block's sums stay in `partial`.
template <bool kCentred>
__global__ void norm_backward_any(BackwardRows<Scalars> op, float* partial) {
  const std::int64_t hidden = op.hidden, cols = kCentred ? 2 * hidden : hidden;
  float* sums = partial + blockIdx.x * cols;  // a thread touches its own columns only
  for (std::int64_t c = threadIdx.x; c < hidden; c += blockDim.x) {
    sums[c] = 0;
    if constexpr (kCentred) sums[hidden + c] = 0;
  }
  for (std::int64_t row = blockIdx.x; row < op.rows; row += gridDim.x) {
    const std::int64_t at = row * hidden;
    const float inverse = op.rstd[row], centre = kCentred ? op.mean[row] : 0.0f;
    float sum_g = 0, sum_gh = 0;
    for (std::int64_t c = threadIdx.x; c < hidden; c += blockDim.x) {
      const float g = op.d_out.load(at + c) * op.weight.load(c);
      sum_gh += g * ((op.x.load(at + c) - centre) * inverse);
      sum_g += g;
    }
    const float mean_gh = block_sum(sum_gh) / static_cast<float>(hidden);
    const float mean_g = kCentred ? block_sum(sum_g) / static_cast<float>(hidden) : 0.0f;
    for (std::int64_t c = threadIdx.x; c < hidden; c += blockDim.x) {
      const float h = (op.x.load(at + c) - centre) * inverse, d = op.d_out.load(at + c);
      const float gradient = (d * op.weight.load(c) - mean_g - h * mean_gh) * inverse;
      op.d_x.store(at + c, op.add ? op.d_x.load(at + c) + gradient : gradient);
      sums[c] += d * h;
      if constexpr (kCentred) sums[hidden + c] += d;
    }
  }
}

/// Elements of a row that a thread may keep: registers for them, and for two sums of each, without spilling.
constexpr std::int64_t kMostKept = 32;

/// f(team, elements kept as a constant, threads, teams per block) for rows that fit registers.
template <class F>
void for_kept(std::int64_t hidden, F&& f) {
  const auto threads_for = [&](std::int64_t kept) {
    return static_cast<int>((hidden + kept * kWarp - 1) / (kept * kWarp) * kWarp);
  };
  if (hidden <= 16 * kWarp) return f(WarpTeam{}, std::integral_constant<int, 16>{}, kWarpTeams * kWarp, kWarpTeams);
  if (hidden <= 24 * kWarp) return f(WarpTeam{}, std::integral_constant<int, 24>{}, kWarpTeams * kWarp, kWarpTeams);
  if (hidden <= 16 * kMostBlockTeam) return f(BlockTeam{}, std::integral_constant<int, 16>{}, threads_for(16), 1);
  if (hidden <= kMostKept * kMostBlockTeam)
    f(BlockTeam{}, std::integral_constant<int, kMostKept>{}, threads_for(kMostKept), 1);
}

/// What blocks have summed, each a row.
struct BlockSums {
  float* data = nullptr;
  std::int64_t blocks = 0;
};

/// Blocks for kernels that sum over all rows they see: 16 warps for each of 128 multiprocessors, however many there
/// are.
std::int64_t blocks_for_rows(std::int64_t rows, int threads, int teams) {
  return std::min((rows + teams - 1) / teams, std::clamp<std::int64_t>(65536 / threads, 128, 1024));
}

/// No blocks: the rows do not fit registers.
template <bool kCentred, class A>
BlockSums launch_kept(const Kernel& kernel, const BackwardRows<A>& rows) {
  const std::int64_t cols = kCentred ? 2 * rows.hidden : rows.hidden;
  BlockSums sums;
  if constexpr (!std::is_same_v<A, Scalars>) {
    using T = std::remove_pointer_t<decltype(rows.x.data)>;
    for_kept(rows.hidden, [&](auto team, auto elements, int threads, int teams) {
      sums.blocks = blocks_for_rows(rows.rows, threads, teams);
      sums.data = kernel.scratch<float>(sums.blocks * cols);
      const std::size_t shared = teams > 1 ? static_cast<std::size_t>(cols) * sizeof(float) : 0;
      norm_backward<kCentred, decltype(team), T, decltype(elements)::value / A::kN>
          <<<static_cast<unsigned>(sums.blocks), threads, shared, kernel.stream()>>>(rows, sums.data);
    });
  }
  return sums;
}

template <bool kCentred>
BlockSums launch_any(const Kernel& kernel, const BackwardRows<Scalars>& rows) {
  BlockSums sums{nullptr, blocks_for_rows(rows.rows, kThreads, 1)};
  sums.data = kernel.scratch<float>(sums.blocks * rows.hidden * (kCentred ? 2 : 1));
  norm_backward_any<kCentred><<<static_cast<unsigned>(sums.blocks), kThreads, 0, kernel.stream()>>>(rows, sums.data);
  return sums;
}

template <bool kCentred, class Op>
void launch_backward(const Op& op, const float* mean, const Region& d_bias, Kernel& kernel) {
  const auto rows_of = [&](auto access) {
    using A = decltype(access);
    return BackwardRows<A>{A::of(kernel, op.d_out),
                           A::of(kernel, op.x),
                           A::of(kernel, op.weight),
                           A::of(kernel, op.d_x),
                           mean,
                           kernel.data(op.rstd),
                           op.rows,
                           op.hidden,
                           op.accumulate_d_x};
  };
  BlockSums sums;
  for_access(kernel, op.hidden, {op.x, op.d_out, op.weight, op.d_x},
             [&](auto access) { sums = launch_kept<kCentred>(kernel, rows_of(access)); });
  if (sums.blocks == 0) sums = launch_any<kCentred>(kernel, rows_of(Scalars{}));
  check_launch(Op::kName);
  const std::int64_t cols = kCentred ? 2 * op.hidden : op.hidden;
  const FloatView outs[] = {view(kernel, op.d_weight), view(kernel, d_bias)};
  launch_add(kernel, {sums.data, sums.blocks, cols, op.hidden, {outs[0], outs[1]}, op.accumulate}, kCentred ? 2 : 1);
}

constexpr int kSumWarps = 8;  // of a block, each with every eighth row

/// partial[y, c] = the column sums of chunk y of the rows. A block takes a warp's width of vectors. Moves the bytes of
/// x per element.
template <class A>
__global__ void sum_columns(A x, std::int64_t rows, std::int64_t cols, std::int64_t chunk, float* partial) {
  constexpr int kN = A::kN;
  __shared__ float sums[kSumWarps][kN][kWarp];
  const std::int64_t col = (std::int64_t{blockIdx.x} * kWarp + threadIdx.x) * kN;
  const std::int64_t begin = blockIdx.y * chunk, end = begin + chunk < rows ? begin + chunk : rows;
  float sum[kN] = {};
  if (col < cols) {
#pragma unroll 4
    for (std::int64_t r = begin + threadIdx.y; r < end; r += kSumWarps) {
      float v[kN];
      x.load(r * cols + col, v);
#pragma unroll
      for (int j = 0; j < kN; ++j) sum[j] += v[j];
    }
  }
#pragma unroll
  for (int j = 0; j < kN; ++j) sums[threadIdx.y][j][threadIdx.x] = sum[j];
  __syncthreads();
  if (threadIdx.y != 0 || col >= cols) return;
#pragma unroll
  for (int j = 0; j < kN; ++j) {
    float total = 0;
    for (int i = 0; i < kSumWarps; ++i) total += sums[i][j][threadIdx.x];
    partial[blockIdx.y * cols + col + j] = total;
  }
}

}  // namespace

void run(const LayerNorm& op, Kernel& kernel) { launch_norm<true>(op, op.bias, kernel.data(op.mean), kernel); }

void run(const RmsNorm& op, Kernel& kernel) { launch_norm<false>(op, {}, nullptr, kernel); }

void run(const LayerNormBackward& op, Kernel& kernel) {
  launch_backward<true>(op, kernel.data(op.mean), op.d_bias, kernel);
}

void run(const RmsNormBackward& op, Kernel& kernel) { launch_backward<false>(op, nullptr, {}, kernel); }

/// About a thousand blocks, of 32 rows at least.
void run(const BiasGradient& op, Kernel& kernel) {
  constexpr std::int64_t kBlocks = 1024, kLeastRows = 32;
  std::int64_t chunks = 0;
  float* partial = nullptr;
  for_access(kernel, op.cols, {op.d_out}, [&](auto access) {
    using A = decltype(access);
    const std::int64_t across = (op.cols + kWarp * A::kN - 1) / (kWarp * A::kN);
    const std::int64_t wanted = std::clamp<std::int64_t>(kBlocks / across, 1, (op.rows + kLeastRows - 1) / kLeastRows);
    const std::int64_t chunk = (op.rows + wanted - 1) / wanted;
    chunks = (op.rows + chunk - 1) / chunk;
    partial = kernel.scratch<float>(chunks * op.cols);
    sum_columns<<<dim3(static_cast<unsigned>(across), static_cast<unsigned>(chunks)), dim3(kWarp, kSumWarps), 0,
                  kernel.stream()>>>(A::of(kernel, op.d_out), op.rows, op.cols, chunk, partial);
    check_launch("bias_gradient");
  });
  launch_add(kernel, {partial, chunks, op.cols, op.cols, {view(kernel, op.d_bias), {}}, op.accumulate}, 1);
}

}  // namespace shardscope::cuda
