#include "core/engine/reduce.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <type_traits>

#include "core/check.h"
#include "core/error.h"

namespace shardscope {
namespace {

constexpr std::int64_t kBlock = 4096;  // elements; a block of every rank stays in L1 or L2 between load and store

// One machine's best vectors without a build per machine. Sanitizers start before ifuncs can be resolved.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(SHARDSCOPE_SANITIZED)
#define SS_VECTOR_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define SS_VECTOR_CLONES
#endif

SS_VECTOR_CLONES void add_f32(float* acc, const float* in, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) acc[i] += in[i];
}
SS_VECTOR_CLONES void add_f64(double* acc, const double* in, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) acc[i] += in[i];
}
SS_VECTOR_CLONES void max_f32(float* acc, const float* in, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) acc[i] = in[i] > acc[i] || std::isnan(in[i]) ? in[i] : acc[i];
}
/// Two ranks, both outputs: no detour through a block.
SS_VECTOR_CLONES void sum_pair_f32(float* a, float* b, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float sum = a[i] + b[i];
    a[i] = sum;
    b[i] = sum;
  }
}

void combine(float* acc, const float* in, std::int64_t n, ReduceOp op) {
  op == ReduceOp::kSum ? add_f32(acc, in, n) : max_f32(acc, in, n);
}

template <class T>
void combine(T* acc, const T* in, std::int64_t n, ReduceOp op) {
  if constexpr (std::is_same_v<T, double>) {
    if (op == ReduceOp::kSum) return add_f64(acc, in, n);
  }
  for (std::int64_t i = 0; i < n; ++i) {
    if (op == ReduceOp::kMax) {
      acc[i] = in[i] > acc[i] || in[i] != in[i] ? in[i] : acc[i];
    } else if constexpr (std::is_integral_v<T>) {
      acc[i] =
          static_cast<T>(static_cast<std::make_unsigned_t<T>>(acc[i]) + static_cast<std::make_unsigned_t<T>>(in[i]));
    } else {
      acc[i] += in[i];
    }
  }
}

template <class T>
void reduce_plain(std::span<const std::byte* const> ins, std::span<std::byte* const> outs, std::int64_t count,
                  ReduceOp op) {
  T block[kBlock];
  for (std::int64_t first = 0; first < count; first += kBlock) {
    const std::int64_t n = std::min(kBlock, count - first);
    const auto bytes = static_cast<std::size_t>(n) * sizeof(T);
    const std::int64_t skip = first * static_cast<std::int64_t>(sizeof(T));
    std::memcpy(block, ins[0] + skip, bytes);
    for (const std::byte* in : ins.subspan(1)) combine(block, reinterpret_cast<const T*>(in + skip), n, op);
    for (std::byte* out : outs) std::memcpy(out + skip, block, bytes);
  }
}

// Without branches, so that loops over them become vectors.
inline float wide_bf16(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

inline std::uint16_t narrow_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16, quiet = (bits >> 16) | 0x40;
  return static_cast<std::uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
}

/// Subnormal numbers by a subtraction in fp32, which normalises them.
inline float wide_fp16(std::uint16_t half) {
  constexpr std::uint32_t kLeast = (127 - 14) << 23;
  const std::uint32_t sign = (half & 0x8000U) << 16, size = (half & 0x7fffU) << 13;
  const std::uint32_t normal = size + ((127U - 15) << 23), special = size + ((255U - 31) << 23);
  const auto subnormal =
      std::bit_cast<std::uint32_t>(std::bit_cast<float>(size + kLeast) - std::bit_cast<float>(kLeast));
  const std::uint32_t finite = size < (1U << 23) ? subnormal : normal;
  return std::bit_cast<float>((size >= (31U << 23) ? special : finite) | sign);
}

/// Three cases, all computed: too large or NaN; subnormal (an addition in fp32 rounds at the right bit); the rest.
inline std::uint16_t narrow_fp16(float value) {
  constexpr std::uint32_t kInfinity = 0x7f800000, kTooLarge = (127 + 16) << 23, kSmallestNormal = (127 - 14) << 23;
  constexpr std::uint32_t kRoundAt = (127 - 14 + 23 - 10) << 23;  // a float whose last bit is fp16's last subnormal
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000, size = bits & 0x7fffffff;
  const std::uint32_t special = size > kInfinity ? 0x7e00 : 0x7c00;
  const auto subnormal =
      std::bit_cast<std::uint32_t>(std::bit_cast<float>(size) + std::bit_cast<float>(kRoundAt)) - kRoundAt;
  const std::uint32_t normal = (size - ((127U - 15) << 23) + 0xfff + ((size >> 13) & 1)) >> 13;
  const std::uint32_t finite = size < kSmallestNormal ? subnormal : normal;
  return static_cast<std::uint16_t>((size >= kTooLarge ? special : finite) | sign);
}

/// The loops of one 16-bit format.
struct HalfLoops {
  void (*widen)(const std::uint16_t* in, float* out, std::int64_t n);
  void (*add)(float* acc, const std::uint16_t* in, std::int64_t n);
  void (*narrow)(const float* in, std::uint16_t* out, std::int64_t n);
};

SS_VECTOR_CLONES void widen_bf16(const std::uint16_t* in, float* out, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = wide_bf16(in[i]);
}
SS_VECTOR_CLONES void add_bf16(float* acc, const std::uint16_t* in, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) acc[i] += wide_bf16(in[i]);
}
SS_VECTOR_CLONES void narrow_to_bf16(const float* in, std::uint16_t* out, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = narrow_bf16(in[i]);
}
SS_VECTOR_CLONES void widen_fp16(const std::uint16_t* in, float* out, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = wide_fp16(in[i]);
}
SS_VECTOR_CLONES void add_fp16(float* acc, const std::uint16_t* in, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) acc[i] += wide_fp16(in[i]);
}
SS_VECTOR_CLONES void narrow_to_fp16(const float* in, std::uint16_t* out, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = narrow_fp16(in[i]);
}
constexpr HalfLoops kBf16{widen_bf16, add_bf16, narrow_to_bf16}, kFp16{widen_fp16, add_fp16, narrow_to_fp16};

void reduce_half(std::span<const std::byte* const> ins, std::span<std::byte* const> outs, std::int64_t count,
                 const HalfLoops& loops, ReduceOp op) {
  float acc[kBlock], wide[kBlock];
  std::uint16_t narrow[kBlock];
  for (std::int64_t first = 0; first < count; first += kBlock) {
    const std::int64_t n = std::min(kBlock, count - first);
    for (std::size_t r = 0; r < ins.size(); ++r) {
      const auto* in = reinterpret_cast<const std::uint16_t*>(ins[r]) + first;
      if (r == 0) {
        loops.widen(in, acc, n);
      } else if (op == ReduceOp::kSum) {
        loops.add(acc, in, n);
      } else {
        loops.widen(in, wide, n);
        combine(acc, wide, n, op);
      }
    }
    loops.narrow(acc, narrow, n);
    for (std::byte* out : outs) {
      std::memcpy(reinterpret_cast<std::uint16_t*>(out) + first, narrow, static_cast<std::size_t>(n) * 2);
    }
  }
}

}  // namespace

float from_bf16(std::uint16_t bits) { return wide_bf16(bits); }
float from_fp16(std::uint16_t bits) { return wide_fp16(bits); }
std::uint16_t to_bf16(float value) { return narrow_bf16(value); }
std::uint16_t to_fp16(float value) { return narrow_fp16(value); }

void reduce_in_order(std::span<const std::byte* const> ins, std::span<std::byte* const> outs, std::int64_t count,
                     DType dtype, ReduceOp op) {
  SS_CHECK(!ins.empty(), ins.size());
  switch (dtype) {
    case DType::kF32:
      if (ins.size() == 2 && outs.size() == 2 && op == ReduceOp::kSum && ins[0] == outs[0] && ins[1] == outs[1]) {
        return sum_pair_f32(reinterpret_cast<float*>(outs[0]), reinterpret_cast<float*>(outs[1]), count);
      }
      return reduce_plain<float>(ins, outs, count, op);
    case DType::kF64:
      return reduce_plain<double>(ins, outs, count, op);
    case DType::kI32:
      return reduce_plain<std::int32_t>(ins, outs, count, op);
    case DType::kBF16:
      return reduce_half(ins, outs, count, kBf16, op);
    case DType::kF16:
      return reduce_half(ins, outs, count, kFp16, op);
    case DType::kI8:
      break;
  }
  throw Error(ErrorKind::kUnsupported,
              "reduction of " + std::string(to_string(dtype)) + ": not done; reduce f32, f64, bf16, f16 or i32");
}

}  // namespace shardscope
