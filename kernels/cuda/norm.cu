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

/// Of warp teams: what 48 KiB of shared memory hold two sums of, for each of a block's warps.
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

/// Blocks of a kernel that sums over rows: enough for two on each multiprocessor of an H100.
constexpr std::int64_t kMostPartials = 256;

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

/// What a team sums of a column: d_out * h for d_weight and, if centred, d_out for d_bias, `hidden` further.
struct TeamSums {
  float* at;
  std::int64_t hidden;
};

/// With g = d_out * weight and h = (x - mean) * rstd:  d_x = rstd * (g - mean(g) - h * mean(g h)), where RmsNorm lacks
/// the mean(g);  d_weight += d_out * h;  d_bias += d_out. partial [blocks, cols] gets each block's sums. Moves the
/// bytes of d_out, x and d_x per element, those of d_x twice if added to.
template <bool kCentred, class TeamOf, class A>
__global__ void norm_backward(A d_out, A x, A weight, const float* mean, const float* rstd, A d_x, float* partial,
                              bool in_shared, std::int64_t rows, std::int64_t hidden, bool add) {
  extern __shared__ float shared_sums[];
  constexpr int kN = A::kN;
  const std::int64_t first = TeamOf::lane() * kN, step = TeamOf::size() * kN, cols = kCentred ? 2 * hidden : hidden;
  float* block_sums = partial + blockIdx.x * cols;
  float* sums = in_shared ? shared_sums + TeamOf::number() * cols : block_sums;  // a thread touches its columns only
  for (std::int64_t c = first; c < hidden; c += step) {
    for (int j = 0; j < kN; ++j) {
      sums[c + j] = 0;
      if constexpr (kCentred) sums[hidden + c + j] = 0;
    }
  }
  for (std::int64_t row = TeamOf::first_row(); row < rows; row += TeamOf::row_step()) {
    const std::int64_t at = row * hidden;
    const float inverse = rstd[row], centre = kCentred ? mean[row] : 0.0f;
    float sum_g = 0, sum_gh = 0;
    for (std::int64_t c = first; c < hidden; c += step) {
      float d[kN], v[kN], w[kN];
      d_out.load(at + c, d), x.load(at + c, v), weight.load(c, w);
#pragma unroll
      for (int j = 0; j < kN; ++j) {
        const float g = d[j] * w[j];
        sum_gh += g * ((v[j] - centre) * inverse);
        sum_g += g;
      }
    }
    const float mean_gh = TeamOf::sum(sum_gh) / static_cast<float>(hidden);
    const float mean_g = kCentred ? TeamOf::sum(sum_g) / static_cast<float>(hidden) : 0.0f;
    for (std::int64_t c = first; c < hidden; c += step) {
      float d[kN], v[kN], w[kN], gradient[kN] = {};
      d_out.load(at + c, d), x.load(at + c, v), weight.load(c, w);
      if (add) d_x.load(at + c, gradient);
#pragma unroll
      for (int j = 0; j < kN; ++j) {
        const float h = (v[j] - centre) * inverse;
        gradient[j] += (d[j] * w[j] - mean_g - h * mean_gh) * inverse;
        sums[c + j] += d[j] * h;
        if constexpr (kCentred) sums[hidden + c + j] += d[j];
      }
      d_x.store(at + c, gradient);
    }
  }
  if (!in_shared) return;
  __syncthreads();
  for (std::int64_t c = threadIdx.x; c < cols; c += blockDim.x) {
    float sum = 0;
    for (int team = 0; team < TeamOf::per_block(); ++team) sum += shared_sums[team * cols + c];
    block_sums[c] = sum;
  }
}

template <bool kCentred, class Op>
void launch_backward(const Op& op, const float* mean, const Region& d_bias, Kernel& kernel) {
  constexpr std::int64_t kMostShared = 48 << 10;
  const std::int64_t cols = kCentred ? 2 * op.hidden : op.hidden;
  auto* partial = kernel.scratch<float>(kMostPartials * cols);
  std::int64_t blocks = 0;
  for_access(kernel, op.hidden, {op.x, op.d_out, op.weight, op.d_x}, [&](auto access) {
    using A = decltype(access);
    for_team(op.hidden, A::kN, [&](auto team, int threads, int teams) {
      blocks = std::min(kMostPartials, (op.rows + teams - 1) / teams);
      const std::int64_t shared = teams * cols * static_cast<std::int64_t>(sizeof(float));
      const bool in_shared = shared <= kMostShared;
      norm_backward<kCentred, decltype(team)><<<static_cast<unsigned>(blocks), threads,
                                                in_shared ? static_cast<std::size_t>(shared) : 0, kernel.stream()>>>(
          A::of(kernel, op.d_out), A::of(kernel, op.x), A::of(kernel, op.weight), mean, kernel.data(op.rstd),
          A::of(kernel, op.d_x), partial, in_shared, op.rows, op.hidden, op.accumulate_d_x);
      check_launch(Op::kName);
    });
  });
  launch_add(kernel,
             {partial, blocks, cols, op.hidden, {view(kernel, op.d_weight), view(kernel, d_bias)}, op.accumulate},
             kCentred ? 2 : 1);
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
