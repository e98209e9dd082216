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
#define SS_VECTOR_CLONES __attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3")))
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

template <float (*load)(std::uint16_t), std::uint16_t (*store)(float)>
void reduce_half(std::span<const std::byte* const> ins, std::span<std::byte* const> outs, std::int64_t count,
                 ReduceOp op) {
  float acc[kBlock], wide[kBlock];
  std::uint16_t narrow[kBlock];
  for (std::int64_t first = 0; first < count; first += kBlock) {
    const std::int64_t n = std::min(kBlock, count - first);
    for (std::size_t r = 0; r < ins.size(); ++r) {
      const auto* in = reinterpret_cast<const std::uint16_t*>(ins[r]) + first;
      float* to = r == 0 ? acc : wide;
      for (std::int64_t i = 0; i < n; ++i) to[i] = load(in[i]);
      if (r > 0) combine(acc, wide, n, op);
    }
    for (std::int64_t i = 0; i < n; ++i) narrow[i] = store(acc[i]);
    for (std::byte* out : outs) {
      std::memcpy(reinterpret_cast<std::uint16_t*>(out) + first, narrow, static_cast<std::size_t>(n) * 2);
    }
  }
}

}  // namespace

float from_bf16(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>((bits >> 16) | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

float from_fp16(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 0x1f, mantissa = bits & 0x3ff;
  const float sign = (bits & 0x8000) != 0 ? -1.0F : 1.0F;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -24);
  if (exponent < 31) return sign * std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  const std::uint32_t wide =
      (static_cast<std::uint32_t>(bits & 0x8000) << 16) | 0x7f800000U | (static_cast<std::uint32_t>(mantissa) << 13);
  return std::bit_cast<float>(wide);
}

std::uint16_t to_fp16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000);
  const float size = std::fabs(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | 0x7e00);
  if (size >= 65520.0F) return static_cast<std::uint16_t>(sign | 0x7c00);  // halfway beyond the largest, 65504
  if (size < 6.103515625e-05F) {                                           // subnormal: units of 2^-24
    return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(std::nearbyint(std::ldexp(size, 24))));
  }
  const std::uint32_t magnitude = bits & 0x7fffffff;
  const std::uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return static_cast<std::uint16_t>(sign | ((rounded - (112U << 23)) >> 13));
}

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
      return reduce_half<from_bf16, to_bf16>(ins, outs, count, op);
    case DType::kF16:
      return reduce_half<from_fp16, to_fp16>(ins, outs, count, op);
    case DType::kI8:
      break;
  }
  throw Error(ErrorKind::kUnsupported,
              "reduction of " + std::string(to_string(dtype)) + ": not done; reduce f32, f64, bf16, f16 or i32");
}

}  // namespace shardscope
