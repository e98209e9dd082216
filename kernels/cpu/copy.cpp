// Fill, Copy and CopyRows: the ops that take every dtype.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/check.h"
#include "kernels/cpu/kernel.h"

namespace shardscope {
namespace {

/// Elements converted through a buffer on the stack at a time.
constexpr std::int64_t kBlock = 1024;

/// Rounded to nearest even, held at the ends of the range; NaN becomes 0.
template <class T>
T to_integer(double v) {
  if (std::isnan(v)) return 0;
  constexpr double kLow = std::numeric_limits<T>::min(), kHigh = std::numeric_limits<T>::max();
  return static_cast<T>(std::clamp(std::nearbyint(v), kLow, kHigh));
}

/// Elements [at, at + n) of any dtype as doubles: exact for every dtype there is.
void read_block(const Loops& loops, DType dtype, const std::byte* src, std::int64_t at, std::int64_t n, double* out) {
  float floats[kBlock];
  const auto widen = [&](const float* from) { std::copy(from, from + n, out); };
  switch (dtype) {
    case DType::kF32:
      return widen(reinterpret_cast<const float*>(src) + at);
    case DType::kBF16:
      loops.convert.bf16_to_f32(reinterpret_cast<const std::uint16_t*>(src) + at, floats, n);
      return widen(floats);
    case DType::kF16:
      loops.convert.f16_to_f32(reinterpret_cast<const std::uint16_t*>(src) + at, floats, n);
      return widen(floats);
    case DType::kF64:
      std::copy_n(reinterpret_cast<const double*>(src) + at, n, out);
      return;
    case DType::kI32:
      std::copy_n(reinterpret_cast<const std::int32_t*>(src) + at, n, out);
      return;
    case DType::kI8:
      std::copy_n(reinterpret_cast<const std::int8_t*>(src) + at, n, out);
      return;
  }
}

void write_block(const Loops& loops, DType dtype, const double* in, std::int64_t at, std::int64_t n, std::byte* dst) {
  float floats[kBlock];
  const auto narrow = [&](float* to) {
    std::transform(in, in + n, to, [](double v) { return static_cast<float>(v); });
  };
  switch (dtype) {
    case DType::kF32:
      return narrow(reinterpret_cast<float*>(dst) + at);
    case DType::kBF16:
      narrow(floats);
      return loops.convert.f32_to_bf16(floats, reinterpret_cast<std::uint16_t*>(dst) + at, n);
    case DType::kF16:
      narrow(floats);
      return loops.convert.f32_to_f16(floats, reinterpret_cast<std::uint16_t*>(dst) + at, n);
    case DType::kF64:
      std::copy_n(in, n, reinterpret_cast<double*>(dst) + at);
      return;
    case DType::kI32:
      std::transform(in, in + n, reinterpret_cast<std::int32_t*>(dst) + at, to_integer<std::int32_t>);
      return;
    case DType::kI8:
      std::transform(in, in + n, reinterpret_cast<std::int8_t*>(dst) + at, to_integer<std::int8_t>);
      return;
  }
}

void copy_range(const Loops& loops, DType from, const std::byte* src, DType to, std::byte* dst, std::int64_t begin,
                std::int64_t end) {
  const auto* floats = reinterpret_cast<const float*>(src) + begin;
  const auto* halves = reinterpret_cast<const std::uint16_t*>(src) + begin;
  auto* to_floats = reinterpret_cast<float*>(dst) + begin;
  auto* to_halves = reinterpret_cast<std::uint16_t*>(dst) + begin;
  const std::int64_t n = end - begin;
  if (from == DType::kF32 && to == DType::kBF16) return loops.convert.f32_to_bf16(floats, to_halves, n);
  if (from == DType::kF32 && to == DType::kF16) return loops.convert.f32_to_f16(floats, to_halves, n);
  if (from == DType::kBF16 && to == DType::kF32) return loops.convert.bf16_to_f32(halves, to_floats, n);
  if (from == DType::kF16 && to == DType::kF32) return loops.convert.f16_to_f32(halves, to_floats, n);
  double block[kBlock];
  for (std::int64_t at = begin; at < end; at += kBlock) {
    const std::int64_t count = std::min(kBlock, end - at);
    read_block(loops, from, src, at, count, block);
    write_block(loops, to, block, at, count, dst);
  }
}

}  // namespace

void run(const Fill& op, Kernel& kernel) {
  const DType dtype = kernel.memory.dtype(op.dst);
  std::byte* dst = kernel.data<std::byte>(op.dst);
  const std::int64_t size = size_of(dtype);
  parallel_for(kernel, op.dst.count, kElementGrain, [&](std::int64_t begin, std::int64_t end, int) {
    if (op.value == 0) {
      std::memset(dst + begin * size, 0, static_cast<std::size_t>((end - begin) * size));
    } else if (dtype == DType::kF32) {
      kernel.loops.elementwise.fill(reinterpret_cast<float*>(dst) + begin, static_cast<float>(op.value), end - begin);
    } else {
      double block[kBlock];
      std::fill_n(block, kBlock, op.value);
      for (std::int64_t at = begin; at < end; at += kBlock) {
        write_block(kernel.loops, dtype, block, at, std::min(kBlock, end - at), dst);
      }
    }
  });
}

void run(const Copy& op, Kernel& kernel) {
  SS_CHECK(op.src.count == op.dst.count, op.src.count, op.dst.count);
  const DType from = kernel.memory.dtype(op.src), to = kernel.memory.dtype(op.dst);
  const std::byte* src = kernel.data<const std::byte>(op.src);
  std::byte* dst = kernel.data<std::byte>(op.dst);
  const std::int64_t size = size_of(from);
  parallel_for(kernel, op.dst.count, kElementGrain, [&](std::int64_t begin, std::int64_t end, int) {
    if (from == to) {
      std::memcpy(dst + begin * size, src + begin * size, static_cast<std::size_t>((end - begin) * size));
    } else {
      copy_range(kernel.loops, from, src, to, dst, begin, end);
    }
  });
}

/// The shares of threads are cut from blocks * rows * cols elements, wherever a row ends: there may be few rows, or few
/// columns.
void run(const CopyRows& op, Kernel& kernel) {
  const std::int64_t size = size_of(kernel.memory.dtype(op.dst)), limit = op.src.count;
  SS_CHECK((op.blocks - 1) * op.dst_block + (op.rows - 1) * op.dst_stride + op.cols <= op.dst.count, op.blocks, op.rows,
           op.cols, op.dst_stride, op.dst.count);
  const std::byte* src = kernel.data<const std::byte>(op.src);
  std::byte* dst = kernel.data<std::byte>(op.dst);
  parallel_for(kernel, op.blocks * op.rows * op.cols, kElementGrain, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t at = begin; at < end;) {
      const std::int64_t col = at % op.cols, row = at / op.cols % op.rows, block = at / op.cols / op.rows;
      const std::int64_t count = std::min(op.cols - col, end - at);
      const std::int64_t from = block * op.src_block + row * op.src_stride + col;
      const std::int64_t there = std::clamp<std::int64_t>(limit - from, 0, count);
      std::byte* to = dst + (block * op.dst_block + row * op.dst_stride + col) * size;
      std::memcpy(to, src + from * size, static_cast<std::size_t>(there * size));
      std::memset(to + there * size, 0, static_cast<std::size_t>((count - there) * size));
      at += count;
    }
  });
}

}  // namespace shardscope
