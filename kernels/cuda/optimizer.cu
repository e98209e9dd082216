// The optimizer's step: limited by memory.
#include "core/check.h"
#include "kernels/adam_factors.h"
#include "kernels/cuda/access.cuh"

namespace shardscope::cuda {
namespace {

/// So that the order of a sum depends on no device. Each holds 8 blocks' worth of an H100's multiprocessors.
constexpr int kSumBlocks = 1024;

/// partial[block] = its elements' squares, in double. Moves the bytes of x per element.
template <class A>
__global__ void sum_squares(A x, std::int64_t n, double* partial) {
  constexpr int kN = A::kN;
  const std::int64_t whole = n / kN;
  double sum = 0;
#pragma unroll 4
  for (std::int64_t i = first_index(); i < whole; i += index_stride()) {
    float values[kN];
    x.load(i * kN, values);
#pragma unroll
    for (int j = 0; j < kN; ++j) sum += static_cast<double>(values[j]) * static_cast<double>(values[j]);
  }
  const std::int64_t left = whole * kN + first_index();
  if (left < n) sum += static_cast<double>(x.load(left)) * static_cast<double>(x.load(left));
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/// One block.
__global__ void add_sums(const double* partial, int count, double* total) {
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) sum += partial[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *total += sum;
}

/// From the norm as it is reported, so that equal norms clip equally. A NaN norm gives a NaN coefficient.
__global__ void clip(const double* sum, double scale, double max_norm, float* norm, float* coefficient,
                     std::int32_t* overflow) {
  *norm = static_cast<float>(sqrt(*sum) / scale);
  const double ratio = max_norm / (static_cast<double>(*norm) + 1e-6);
  *coefficient = static_cast<float>((max_norm == 0 || ratio >= 1 ? 1 : ratio) / scale);
  if (overflow != nullptr) *overflow = isfinite(*sum) ? 0 : 1;
}

/// By intrinsics that the compiler leaves alone: an element's bits must not depend on where ZeRO cuts a region, so not
/// on which of the kernels below it falls to.
__device__ void adam_step(const AdamFactors& f, float coefficient, float grad, float& param, float& m, float& v) {
  const float g = __fmaf_rn(param, f.l2, __fmul_rn(grad, coefficient));
  m = __fmaf_rn(m, f.beta1, __fmul_rn(g, f.rest1));
  v = __fmaf_rn(v, f.beta2, __fmul_rn(__fmul_rn(g, g), f.rest2));
  const float root = __fmaf_rn(__fsqrt_rn(v), f.root_correction, f.eps);
  const float step = __fdiv_rn(__fmul_rn(f.step_size, m), root);
  param = __fsub_rn(__fmul_rn(param, f.keep), step);
}

struct AdamState {
  AdamFactors factors;
  const float* coefficient;      ///< null: 1
  const std::int32_t* overflow;  ///< null: none
  float *param, *exp_avg, *exp_avg_sq;
};

__device__ bool is_skipped(const AdamState& s) { return s.overflow != nullptr && *s.overflow != 0; }

constexpr int kPack = 4, kDeep = 2;  // elements, and how many such packs a thread loads before it uses them

/// Reads 12 bytes and the gradient's, writes 12 and the copy's per element: 28 in all with fp32, 28 with bf16 gradients
/// and copies. A block takes a stretch of kThreads * kDeep packs. No copy: the pointer is null.
template <class Grad, class CopyT>
__global__ void adam_packs(AdamState s, const Grad* grad, CopyT* copy, std::int64_t packs) {
  const bool skip = is_skipped(s);
  if (skip && copy == nullptr) return;
  const float coefficient = s.coefficient == nullptr ? 1.0f : *s.coefficient;
  const std::int64_t first = std::int64_t{blockIdx.x} * (kThreads * kDeep) + threadIdx.x;
  Pack<float, kPack> param[kDeep], m[kDeep], v[kDeep];
  Pack<Grad, kPack> g[kDeep];
#pragma unroll
  for (int d = 0; d < kDeep; ++d) {
    const std::int64_t i = first + d * kThreads;
    if (i >= packs) break;
    param[d] = load_pack<kPack>(s.param + i * kPack);
    m[d] = load_pack<kPack>(s.exp_avg + i * kPack);
    v[d] = load_pack<kPack>(s.exp_avg_sq + i * kPack);
    g[d] = load_pack<kPack>(grad + i * kPack);
  }
#pragma unroll
  for (int d = 0; d < kDeep; ++d) {
    const std::int64_t i = first + d * kThreads;
    if (i >= packs) return;
    if (!skip) {
#pragma unroll
      for (int j = 0; j < kPack; ++j) {
        adam_step(s.factors, coefficient, to_float(g[d].at[j]), param[d].at[j], m[d].at[j], v[d].at[j]);
      }
      store_pack<kPack>(s.param + i * kPack, param[d]);
      store_pack<kPack>(s.exp_avg + i * kPack, m[d]);
      store_pack<kPack>(s.exp_avg_sq + i * kPack, v[d]);
    }
    if (copy == nullptr) continue;
    Pack<CopyT, kPack> rounded;
#pragma unroll
    for (int j = 0; j < kPack; ++j) rounded.at[j] = from_float<CopyT>(param[d].at[j]);
    store_pack<kPack>(copy + i * kPack, rounded);
  }
}

/// Any address, any dtypes: elements [first, n).
__global__ void adam_elements(AdamState s, FloatView grad, FloatView copy, std::int64_t first, std::int64_t n) {
  const bool skip = is_skipped(s);
  const float coefficient = s.coefficient == nullptr ? 1.0f : *s.coefficient;
  for (std::int64_t i = first + first_index(); i < n; i += index_stride()) {
    float param = s.param[i], m = s.exp_avg[i], v = s.exp_avg_sq[i];
    if (!skip) {
      adam_step(s.factors, coefficient, grad.load(i), param, m, v);
      s.param[i] = param, s.exp_avg[i] = m, s.exp_avg_sq[i] = v;
    }
    if (copy) copy.store(i, param);
  }
}

/// How many packs of elements can be taken.
std::int64_t packs_of(const Kernel& kernel, const Adam& op) {
  for (const Region& region : {op.param, op.exp_avg, op.exp_avg_sq, op.grad, op.copy}) {
    if (region.empty()) continue;
    const auto bytes = kPack * static_cast<std::size_t>(size_of(kernel.dtype(region)));
    if (!is_aligned(kernel.data<void>(region), bytes)) return 0;
  }
  return op.param.count / kPack;
}

template <class Grad, class CopyT>
void launch_adam(const Kernel& kernel, const AdamState& state, const Grad* grad, CopyT* copy, std::int64_t packs) {
  constexpr std::int64_t kBlock = kThreads * kDeep;
  adam_packs<<<static_cast<unsigned>((packs + kBlock - 1) / kBlock), kThreads, 0, kernel.stream()>>>(state, grad, copy,
                                                                                                     packs);
}

void launch_packs(const Kernel& kernel, const AdamState& state, const Adam& op, std::int64_t packs) {
  for_dtype(kernel.dtype(op.grad), [&](auto grad_type) {
    for_dtype(kernel.dtype(op.copy.empty() ? op.grad : op.copy), [&](auto copy_type) {
      using Grad = decltype(grad_type);
      using CopyT = decltype(copy_type);
      launch_adam(kernel, state, kernel.data<const Grad>(op.grad), kernel.data<CopyT>(op.copy), packs);
    });
  });
  check_launch("adam");
}

}  // namespace

void run(const SumSquares& op, Kernel& kernel) {
  auto* partial = kernel.scratch<double>(kSumBlocks);
  for_access(kernel, 0, {op.x}, [&](auto access) {
    using A = decltype(access);
    sum_squares<<<kSumBlocks, kThreads, 0, kernel.stream()>>>(A::of(kernel, op.x), op.x.count, partial);
  });
  check_launch("sum_squares");
  add_sums<<<1, kThreads, 0, kernel.stream()>>>(partial, kSumBlocks, kernel.data<double>(op.sum));
  check_launch("sum_squares");
}

void run(const ClipCoefficient& op, Kernel& kernel) {
  clip<<<1, 1, 0, kernel.stream()>>>(kernel.data<const double>(op.sum), kernel.scalars().loss_scale, op.max_norm,
                                     kernel.data(op.norm), kernel.data(op.coefficient),
                                     kernel.data<std::int32_t>(op.overflow));
  check_launch("clip_coefficient");
}

void run(const Adam& op, Kernel& kernel) {
  const std::int64_t n = op.param.count;
  SS_CHECK(op.grad.count == n && op.exp_avg.count == n && op.exp_avg_sq.count == n, n, op.grad.count);
  const AdamState state{adam_factors(op, kernel.scalars(), 1.0f),
                        kernel.data<const float>(op.coefficient),
                        kernel.data<const std::int32_t>(op.overflow),
                        kernel.data(op.param),
                        kernel.data(op.exp_avg),
                        kernel.data(op.exp_avg_sq)};
  const std::int64_t packs = packs_of(kernel, op), taken = packs * kPack;
  if (packs > 0) launch_packs(kernel, state, op, packs);
  if (taken == n) return;
  adam_elements<<<blocks_for(kernel, n - taken), kThreads, 0, kernel.stream()>>>(state, view(kernel, op.grad),
                                                                                 view(kernel, op.copy), taken, n);
  check_launch("adam");
}

}  // namespace shardscope::cuda
