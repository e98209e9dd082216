// Mixture of experts: which rows go to which expert, and moving them there and back.
#include "kernels/cuda/access.cuh"
#include "kernels/cuda/loss.cuh"

namespace shardscope::cuda {
namespace {

/// Blocks of kThreads for n warps of work, and what a warp strides over.
int blocks_for_warps(const Kernel& kernel, std::int64_t n) { return blocks_for(kernel, n * kWarp); }
__device__ inline std::int64_t first_warp() { return first_index() / kWarp; }
__device__ inline std::int64_t warp_stride() { return index_stride() / kWarp; }
__device__ inline int lane_of() { return static_cast<int>(threadIdx.x % kWarp); }

struct Expert {
  float probability;
  std::int32_t number;  ///< -1: none
};
/// The more probable, ties to the lower number.
__device__ inline bool comes_before(const Expert& a, const Expert& b) {
  if (a.number < 0 || b.number < 0) return a.number >= 0;
  return a.probability != b.probability ? a.probability > b.probability : a.number < b.number;
}
__device__ inline Expert warp_first(Expert best) {
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const Expert other{__shfl_xor_sync(kAllLanes, best.probability, step),
                       __shfl_xor_sync(kAllLanes, best.number, step)};
    if (comes_before(other, best)) best = other;
  }
  return best;
}

struct Choice {
  FloatView logits;
  float *probabilities, *weights;
  std::int32_t* chosen;
  std::int64_t rows, experts, top_k;
};

/// A warp to a row: softmax over E, the k most probable, their weights. Moves the bytes of the logits and 4 per
/// probability.
__global__ void choose(Choice c) {
  const int lane = lane_of();
  for (std::int64_t row = first_warp(); row < c.rows; row += warp_stride()) {
    float* p = c.probabilities + row * c.experts;
    float top = -INFINITY;
    for (std::int64_t e = lane; e < c.experts; e += kWarp) top = fmaxf(top, c.logits.load(row * c.experts + e));
    top = warp_max(top);
    double sum = 0;
    for (std::int64_t e = lane; e < c.experts; e += kWarp) {
      p[e] = expf(c.logits.load(row * c.experts + e) - top);
      sum += static_cast<double>(p[e]);
    }
    const auto factor = static_cast<float>(1 / warp_sum(sum));
    for (std::int64_t e = lane; e < c.experts; e += kWarp) p[e] *= factor;
    double kept = 0;
    Expert last{INFINITY, -1};
    for (std::int64_t j = 0; j < c.top_k; ++j) {
      Expert best{0, -1};
      for (std::int64_t e = lane; e < c.experts; e += kWarp) {
        const Expert next{p[e], static_cast<std::int32_t>(e)};
        if ((j == 0 || comes_before(last, next)) && comes_before(next, best)) best = next;
      }
      last = warp_first(best);
      if (last.number < 0) last = {NAN, static_cast<std::int32_t>(j)};  // probabilities are no numbers: any will do
      kept += static_cast<double>(last.probability);
      if (lane == 0) {
        c.chosen[row * c.top_k + j] = last.number;
        c.weights[row * c.top_k + j] = last.probability;
      }
    }
    for (std::int64_t j = 0; lane == 0 && j < c.top_k; ++j) {
      float& weight = c.weights[row * c.top_k + j];
      weight = static_cast<float>(static_cast<double>(weight) / kept);
    }
  }
}

struct Slots {
  const std::int32_t* chosen;
  std::int32_t *counts, *slots, *source;
  std::int64_t items, experts, capacity, parts;
};

/// How many threads before this one in the block have `flag`; `all`: of all the block's.
__device__ inline int count_before(bool flag, int& all) {
  __shared__ int sums[kWarp];
  const unsigned votes = __ballot_sync(kAllLanes, flag);
  const int lane = lane_of(), warp = static_cast<int>(threadIdx.x) / kWarp;
  __syncthreads();  // an earlier call's sums are read
  if (lane == 0) sums[warp] = __popc(votes);
  __syncthreads();
  int before = __popc(votes & ((1U << lane) - 1));
  all = 0;
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) {
    if (w < warp) before += sums[w];
    all += sums[w];
  }
  return before;
}

/// A block to an expert: goes through all choices in order and hands out its slots, so that it is always the same rows
/// that are dropped. Reads 4 bytes per choice and expert, from the second-level cache.
__global__ void give_slots(Slots s) {
  const std::int64_t e = blockIdx.x, local = s.experts / s.parts;
  const std::int64_t first = (e % local * s.parts + e / local) * s.capacity;
  std::int64_t taken = 0;
  for (std::int64_t begin = 0; begin < s.items; begin += blockDim.x) {
    const std::int64_t i = begin + threadIdx.x;
    const bool is_mine = i < s.items && s.chosen[i] == e;
    int all = 0;
    const std::int64_t place = taken + count_before(is_mine, all);
    if (is_mine) {
      s.slots[i] = place < s.capacity ? static_cast<std::int32_t>(first + place) : -1;
      if (place < s.capacity) s.source[first + place] = static_cast<std::int32_t>(i);
    }
    taken += all;
  }
  if (threadIdx.x == 0) s.counts[e] = static_cast<std::int32_t>(taken);
  for (std::int64_t place = taken + threadIdx.x; place < s.capacity; place += blockDim.x) s.source[first + place] = -1;
}

/// sums[block] = of its share of the elements, probability * count. Moves 4 bytes per probability.
__global__ void balance(const float* probabilities, const std::int32_t* counts, std::int64_t n, std::int64_t experts,
                        double* sums) {
  double sum = 0;
  for (std::int64_t i = first_index(); i < n; i += index_stride()) {
    sum += static_cast<double>(probabilities[i]) * counts[i % experts];
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

struct Routed {
  const float *d_weights, *weights, *probabilities;
  const std::int32_t *chosen, *counts;
  FloatView d_logits;
  std::int64_t rows, experts, top_k;
  double balance_factor;
};

/// A warp to a row. The weights are the softmax over the chosen logits alone, so their gradient needs no other logit.
/// Moves 4 bytes per probability and the bytes of d_logits.
__global__ void route_backward(Routed r) {
  const int lane = lane_of();
  for (std::int64_t row = first_warp(); row < r.rows; row += warp_stride()) {
    const float *p = r.probabilities + row * r.experts, *weights = r.weights + row * r.top_k;
    const float* d_weights = r.d_weights + row * r.top_k;
    const std::int32_t* chosen = r.chosen + row * r.top_k;
    double balance = 0, mean = 0;
    for (std::int64_t e = lane; e < r.experts; e += kWarp) balance += static_cast<double>(p[e]) * r.counts[e];
    balance = warp_sum(balance);
    for (std::int64_t j = 0; j < r.top_k; ++j) {
      mean += static_cast<double>(weights[j]) * static_cast<double>(d_weights[j]);
    }
    for (std::int64_t e = lane; e < r.experts; e += kWarp) {
      double d = r.balance_factor * static_cast<double>(p[e]) * (r.counts[e] - balance);
      for (std::int64_t j = 0; j < r.top_k; ++j) {
        if (chosen[j] == e) d += static_cast<double>(weights[j]) * (static_cast<double>(d_weights[j]) - mean);
      }
      r.d_logits.store(row * r.experts + e, static_cast<float>(d));
    }
  }
}

/// Moves the bytes of out and, for taken slots, of x, once per element.
template <class A>
__global__ void dispatch(A x, A out, const std::int32_t* source, const float* weights, std::int64_t n,
                         std::int64_t packs, std::int64_t top_k) {
  for (std::int64_t i = first_index(); i < n; i += index_stride()) {
    const std::int64_t from = source[i / packs];
    float v[A::kN] = {};
    if (from >= 0) {
      x.load((from / top_k * packs + i % packs) * A::kN, v);
      const float weight = weights == nullptr ? 1.0f : weights[from];
#pragma unroll
      for (float& element : v) element *= weight;
    }
    out.store(i * A::kN, v);
  }
}

/// Moves the bytes of k rows of y and one of out per element of out.
template <class A>
__global__ void combine(A y, A out, const std::int32_t* slots, const float* weights, std::int64_t n, std::int64_t packs,
                        std::int64_t top_k) {
  for (std::int64_t i = first_index(); i < n; i += index_stride()) {
    float sum[A::kN] = {};
    for (std::int64_t j = i / packs * top_k; j < (i / packs + 1) * top_k; ++j) {
      if (slots[j] < 0) continue;
      float v[A::kN];
      y.load((slots[j] * packs + i % packs) * A::kN, v);
      const float weight = weights == nullptr ? 1.0f : weights[j];
#pragma unroll
      for (int c = 0; c < A::kN; ++c) sum[c] += weight * v[c];
    }
    out.store(i * A::kN, sum);
  }
}

/// A warp to a slot of a row. Moves the bytes of one row each of d_out and y per slot.
template <class A>
__global__ void combine_backward(A d_out, A y, const std::int32_t* slots, float* d_weights, std::int64_t items,
                                 std::int64_t packs, std::int64_t top_k) {
  for (std::int64_t i = first_warp(); i < items; i += warp_stride()) {
    const std::int64_t slot = slots[i];
    double sum = 0;
    for (std::int64_t p = lane_of(); slot >= 0 && p < packs; p += kWarp) {
      float a[A::kN], b[A::kN];
      d_out.load((i / top_k * packs + p) * A::kN, a);
      y.load((slot * packs + p) * A::kN, b);
      float products = 0;
#pragma unroll
      for (int c = 0; c < A::kN; ++c) products += a[c] * b[c];
      sum += static_cast<double>(products);
    }
    sum = warp_sum(sum);
    if (lane_of() == 0) d_weights[i] = static_cast<float>(sum);
  }
}

}  // namespace

void run(const Route& op, Kernel& kernel) {
  auto* chosen = kernel.data<std::int32_t>(op.chosen);
  const Choice choice{view(kernel, op.logits),
                      kernel.data(op.probabilities),
                      kernel.data(op.weights),
                      chosen,
                      op.rows,
                      op.experts,
                      op.top_k};
  choose<<<blocks_for_warps(kernel, op.rows), kThreads, 0, kernel.stream()>>>(choice);
  check_launch("choose");
  const Slots slots{chosen,
                    kernel.data<std::int32_t>(op.counts),
                    kernel.data<std::int32_t>(op.slots),
                    kernel.data<std::int32_t>(op.source),
                    op.rows * op.top_k,
                    op.experts,
                    op.capacity,
                    op.parts};
  give_slots<<<static_cast<unsigned>(op.experts), 1024, 0, kernel.stream()>>>(slots);
  check_launch("give_slots");
}

void run(const LoadBalance& op, Kernel& kernel) {
  const std::int64_t n = op.rows * op.experts;
  const int blocks = blocks_for(kernel, n);
  auto* sums = kernel.scratch<double>(blocks);
  balance<<<blocks, kThreads, 0, kernel.stream()>>>(kernel.data(op.probabilities), kernel.data<std::int32_t>(op.counts),
                                                    n, op.experts, sums);
  check_launch("balance");
  const auto tokens = static_cast<double>(op.tokens);
  add_losses(RowLosses{sums}, blocks, op.scale * static_cast<double>(op.experts) / (tokens * tokens),
             kernel.data(op.loss), kernel);
}

void run(const RouteBackward& op, Kernel& kernel) {
  const auto tokens = static_cast<double>(op.tokens);
  const Routed routed{kernel.data(op.d_weights),
                      kernel.data(op.weights),
                      kernel.data(op.probabilities),
                      kernel.data<std::int32_t>(op.chosen),
                      kernel.data<std::int32_t>(op.counts),
                      view(kernel, op.d_logits),
                      op.rows,
                      op.experts,
                      op.top_k,
                      kernel.scalars().loss_scale * op.scale * static_cast<double>(op.experts) / (tokens * tokens)};
  route_backward<<<blocks_for_warps(kernel, op.rows), kThreads, 0, kernel.stream()>>>(routed);
  check_launch("route_backward");
}

void run(const Dispatch& op, Kernel& kernel) {
  for_access(kernel, op.hidden, {op.x, op.out}, [&](auto access) {
    using A = decltype(access);
    const A x = A::of(kernel, op.x), out = A::of(kernel, op.out);
    const std::int64_t packs = op.hidden / A::kN, n = op.source.count * packs;
    dispatch<<<blocks_for(kernel, n), kThreads, 0, kernel.stream()>>>(x, out, kernel.data<std::int32_t>(op.source),
                                                                      kernel.data(op.weights), n, packs, op.top_k);
  });
  check_launch("dispatch");
}

void run(const Combine& op, Kernel& kernel) {
  for_access(kernel, op.hidden, {op.y, op.out}, [&](auto access) {
    using A = decltype(access);
    const A y = A::of(kernel, op.y), out = A::of(kernel, op.out);
    const std::int64_t packs = op.hidden / A::kN, n = op.rows * packs;
    combine<<<blocks_for(kernel, n), kThreads, 0, kernel.stream()>>>(y, out, kernel.data<std::int32_t>(op.slots),
                                                                     kernel.data(op.weights), n, packs, op.top_k);
  });
  check_launch("combine");
}

void run(const CombineBackward& op, Kernel& kernel) {
  for_access(kernel, op.hidden, {op.d_out, op.y}, [&](auto access) {
    using A = decltype(access);
    const A d_out = A::of(kernel, op.d_out), y = A::of(kernel, op.y);
    const std::int64_t items = op.rows * op.top_k;
    combine_backward<<<blocks_for_warps(kernel, items), kThreads, 0, kernel.stream()>>>(
        d_out, y, kernel.data<std::int32_t>(op.slots), kernel.data(op.d_weights), items, op.hidden / A::kN, op.top_k);
  });
  check_launch("combine_backward");
}

}  // namespace shardscope::cuda
