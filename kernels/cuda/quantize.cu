// Quantize and Dequantize: a block takes a group at a time.
#include "core/check.h"
#include "kernels/cuda/access.cuh"

namespace shardscope::cuda {
namespace {

/// How the elements are cut: slices, each in groups, the last of which may be shorter.
struct Groups {
  std::int64_t slice, group, per_slice, count;
  struct Range {
    std::int64_t first, size;
  };
  __device__ Range operator[](std::int64_t g) const {
    const std::int64_t inside = g % per_slice * group, left = slice - inside;
    return {g / per_slice * slice + inside, left < group ? left : group};
  }
};
template <class Op>
Groups groups_of(const Op& op, std::int64_t count) {
  return {op.slice, op.group, (op.slice + op.group - 1) / op.group, count};
}

/// To nearest even, held at +-top; NaN becomes 0.
__device__ int rounded(float v, float top) {
  v = v > top ? top : v;
  v = v >= -top ? v : (v < -top ? -top : 0.0f);
  return __float2int_rn(v);
}

/// Elements that a thread takes at a time: whole bytes of q.
template <class A, int kBits>
constexpr int kStep = A::kN* kBits / 8 > 0 ? A::kN : 8 / kBits;

/// kStep elements, fewer only if the group ends, as zeros beyond.
template <int kCount, class A>
__device__ void load_step(const A& from, std::int64_t i, std::int64_t left, float (&to)[kCount]) {
  if constexpr (kCount == A::kN) {
    from.load(i, to);
  } else {
    for (int j = 0; j < kCount; ++j) to[j] = j < left ? from.load(i + j) : 0.0f;
  }
}
template <int kCount, class A>
__device__ void store_step(const A& to, std::int64_t i, std::int64_t left, const float (&from)[kCount]) {
  if constexpr (kCount == A::kN) {
    to.store(i, from);
  } else {
    for (int j = 0; j < kCount; ++j) {
      if (j < left) to.store(i + j, from[j]);
    }
  }
}

/// Reads the bytes of src (once from memory, again from the cache), writes kBits / 8 and 4 / group per element.
template <int kBits, class A>
__global__ void quantize(A src, std::int8_t* q, float* scales, Groups groups) {
  constexpr int kCount = kStep<A, kBits>, kBytes = kCount * kBits / 8;
  constexpr float kTop = kBits == 4 ? 7.0f : 127.0f;
  for (std::int64_t g = blockIdx.x; g < groups.count; g += gridDim.x) {
    const Groups::Range range = groups[g];
    float largest = 0;
    for (std::int64_t i = threadIdx.x * kCount; i < range.size; i += blockDim.x * kCount) {
      float v[kCount];
      load_step(src, range.first + i, range.size - i, v);
#pragma unroll
      for (int j = 0; j < kCount; ++j) largest = fmaxf(largest, fabsf(v[j]));  // a NaN is not larger than anything
    }
    const float scale = __fdiv_rn(block_max(largest), kTop), inverse = scale > 0 ? __fdiv_rn(1.0f, scale) : 0.0f;
    if (threadIdx.x == 0) scales[g] = scale;
    for (std::int64_t i = threadIdx.x * kCount; i < range.size; i += blockDim.x * kCount) {
      float v[kCount];
      load_step(src, range.first + i, range.size - i, v);
      Pack<std::int8_t, kBytes> bytes;
#pragma unroll
      for (int j = 0; j < kBytes; ++j) {
        if constexpr (kBits == 8) {
          bytes.at[j] = static_cast<std::int8_t>(rounded(v[j] * inverse, kTop));
        } else {
          const int low = rounded(v[2 * j] * inverse, kTop), high = rounded(v[2 * j + 1] * inverse, kTop);
          bytes.at[j] = static_cast<std::int8_t>((low & 15) | ((high & 15) << 4));
        }
      }
      store_pack<kBytes>(q + (range.first + i) * kBits / 8, bytes);
    }
  }
}

/// The low four bits as a signed number.
__device__ float nibble(int v) { return static_cast<float>(((v & 15) ^ 8) - 8); }

/// Reads kBits / 8 and 4 / group per element and part, writes the bytes of out. Parts are added in order.
template <int kBits, class A>
__global__ void dequantize(const std::int8_t* q, const float* scales, A out, Groups groups, std::int64_t parts,
                           std::int64_t n) {
  constexpr int kCount = kStep<A, kBits>, kBytes = kCount * kBits / 8;
  for (std::int64_t g = blockIdx.x; g < groups.count; g += gridDim.x) {
    const Groups::Range range = groups[g];
    for (std::int64_t i = threadIdx.x * kCount; i < range.size; i += blockDim.x * kCount) {
      float sum[kCount] = {};
      for (std::int64_t part = 0; part < parts; ++part) {
        const float scale = scales[part * groups.count + g];
        const auto bytes = load_pack<kBytes>(q + (part * n + range.first + i) * kBits / 8);
#pragma unroll
        for (int j = 0; j < kBytes; ++j) {
          if constexpr (kBits == 8) {
            sum[j] += static_cast<float>(bytes.at[j]) * scale;
          } else {
            sum[2 * j] += nibble(bytes.at[j]) * scale;
            sum[2 * j + 1] += nibble(bytes.at[j] >> 4) * scale;
          }
        }
      }
      store_step(out, range.first + i, range.size - i, sum);
    }
  }
}

/// f(access, bits) for an operand beside q. Vectors only if every group of q begins at one too.
template <class Op, class F>
void for_quantized(const Kernel& kernel, const Op& op, const Region& floats, F&& f) {
  SS_CHECK(op.bits == 8 || (op.bits == 4 && op.slice % 2 == 0 && op.group % 2 == 0), op.bits, op.slice, op.group);
  const bool aligned = op.slice % 8 == 0 && op.group % 8 == 0 && is_aligned(kernel.data<void>(op.q), 8);
  for_access(kernel, aligned ? 0 : 1, {floats}, [&](auto access) {
    if (op.bits == 4) return f(access, std::integral_constant<int, 4>{});
    f(access, std::integral_constant<int, 8>{});
  });
}

/// One warp for every four vectors of a group, up to eight.
unsigned threads_for(std::int64_t group, int vector) {
  unsigned threads = kWarp;
  while (threads < kThreads && threads * 4 * vector < group) threads *= 2;
  return threads;
}

}  // namespace

void run(const Quantize& op, Kernel& kernel) {
  const Groups groups = groups_of(op, op.scales.count);
  for_quantized(kernel, op, op.src, [&](auto access, auto bits) {
    using A = decltype(access);
    quantize<decltype(bits)::value>
        <<<blocks_for(kernel, groups.count, 1), threads_for(op.group, A::kN), 0, kernel.stream()>>>(
            A::of(kernel, op.src), kernel.data<std::int8_t>(op.q), kernel.data(op.scales), groups);
    check_launch("quantize");
  });
}

void run(const Dequantize& op, Kernel& kernel) {
  const Groups groups = groups_of(op, op.scales.count / op.parts);
  for_quantized(kernel, op, op.out, [&](auto access, auto bits) {
    using A = decltype(access);
    dequantize<decltype(bits)::value>
        <<<blocks_for(kernel, groups.count, 1), threads_for(op.group, A::kN), 0, kernel.stream()>>>(
            kernel.data<const std::int8_t>(op.q), kernel.data(op.scales), A::of(kernel, op.out), groups, op.parts,
            op.out.count);
    check_launch("dequantize");
  });
}

}  // namespace shardscope::cuda
