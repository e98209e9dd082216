// Fill, Copy and CopyRows: the ops that take every dtype. Copies of one dtype between any spaces are the runtime's;
// conversions are kernels, which reach device and pinned memory, so a pageable operand passes through scratch.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/check.h"
#include "kernels/cuda/access.cuh"
#include "kernels/cuda/convert.h"

namespace shardscope::cuda {
namespace {

/// The bits of an element, low end first.
struct Bits {
  std::byte bytes[8] = {};
};

template <class T>
Bits bits_of(T value) {
  Bits bits;
  std::memcpy(bits.bytes, &value, sizeof value);
  return bits;
}

template <class T>
T to_integer(double v) {
  if (std::isnan(v)) return 0;
  constexpr double kLow = std::numeric_limits<T>::min(), kHigh = std::numeric_limits<T>::max();
  return static_cast<T>(std::clamp(std::nearbyint(v), kLow, kHigh));
}

Bits encode(DType dtype, double v) {
  switch (dtype) {
    case DType::kF32:
      return bits_of(static_cast<float>(v));
    case DType::kBF16:
      return bits_of(__float2bfloat16_rn(static_cast<float>(v)));
    case DType::kF16:
      return bits_of(__float2half_rn(static_cast<float>(v)));
    case DType::kF64:
      return bits_of(v);
    case DType::kI32:
      return bits_of(to_integer<std::int32_t>(v));
    case DType::kI8:
      return bits_of(to_integer<std::int8_t>(v));
  }
  return {};
}

/// Writes the bytes of T per element.
template <class T>
__global__ void fill(T* dst, T value, std::int64_t n) {
  for (std::int64_t i = first_index(); i < n; i += index_stride()) dst[i] = value;
}

template <class T>
void launch_fill(const Kernel& kernel, std::byte* dst, const Bits& bits, std::int64_t n) {
  T value;
  std::memcpy(&value, bits.bytes, sizeof value);
  fill<<<blocks_for(kernel, n), kThreads, 0, kernel.stream()>>>(reinterpret_cast<T*>(dst), value, n);
  check_launch("fill");
}

/// As many elements as 16 bytes hold are one of the kernel's, where the address allows; the others are single ones.
void fill_elements(const Kernel& kernel, std::byte* dst, const Bits& bits, std::int64_t size, std::int64_t n) {
  const std::int64_t group = 16 / size, whole = is_aligned(dst, 16) ? n / group : 0;
  if (whole > 0) {
    uint4 value;
    for (std::int64_t i = 0; i < group; ++i) {
      std::memcpy(reinterpret_cast<std::byte*>(&value) + i * size, bits.bytes, static_cast<std::size_t>(size));
    }
    fill<<<blocks_for(kernel, whole), kThreads, 0, kernel.stream()>>>(reinterpret_cast<uint4*>(dst), value, whole);
    check_launch("fill");
  }
  std::byte* rest = dst + whole * 16;
  const std::int64_t left = n - whole * group;
  if (left == 0) return;
  if (size == 1) return launch_fill<std::uint8_t>(kernel, rest, bits, left);
  if (size == 2) return launch_fill<std::uint16_t>(kernel, rest, bits, left);
  if (size == 4) return launch_fill<std::uint32_t>(kernel, rest, bits, left);
  launch_fill<std::uint64_t>(kernel, rest, bits, left);
}

Space space_of(const Kernel& kernel, const Region& region) {
  return kernel.memory.program->buffer(region.buffer).space;
}
bool is_pageable(const Kernel& kernel, const Region& region) { return space_of(kernel, region) == Space::kHost; }

void copy_bytes(const Kernel& kernel, void* dst, const void* src, std::int64_t bytes) {
  check(cudaMemcpyAsync(dst, src, static_cast<std::size_t>(bytes), cudaMemcpyDefault, kernel.stream()),
        "cudaMemcpyAsync");
}

constexpr int kConverted = 4, kConvertedDeep = 4;  // elements of a pack, packs of a thread

/// Moves the bytes of both per element. A block takes a stretch of kThreads * kConvertedDeep packs.
template <class From, class To>
__global__ void convert(const From* src, To* dst, std::int64_t packs) {
  const std::int64_t first = std::int64_t{blockIdx.x} * (kThreads * kConvertedDeep) + threadIdx.x;
  Pack<From, kConverted> in[kConvertedDeep];
#pragma unroll
  for (int d = 0; d < kConvertedDeep; ++d) {
    const std::int64_t i = first + d * kThreads;
    if (i < packs) in[d] = load_pack<kConverted>(src + i * kConverted);
  }
#pragma unroll
  for (int d = 0; d < kConvertedDeep; ++d) {
    const std::int64_t i = first + d * kThreads;
    if (i >= packs) return;
    Pack<To, kConverted> out;
#pragma unroll
    for (int j = 0; j < kConverted; ++j) out.at[j] = from_float<To>(to_float(in[d].at[j]));
    store_pack<kConverted>(dst + i * kConverted, out);
  }
}

template <class From, class To>
void launch_convert(const Kernel& kernel, const std::byte* src, std::byte* dst, std::int64_t packs) {
  constexpr std::int64_t kBlock = kThreads * kConvertedDeep;
  convert<<<static_cast<unsigned>((packs + kBlock - 1) / kBlock), kThreads, 0, kernel.stream()>>>(
      reinterpret_cast<const From*>(src), reinterpret_cast<To*>(dst), packs);
}

/// Exact for every dtype there is.
__device__ double read_any(DType dtype, const void* src, std::int64_t i) {
  switch (dtype) {
    case DType::kF64:
      return static_cast<const double*>(src)[i];
    case DType::kI32:
      return static_cast<const std::int32_t*>(src)[i];
    case DType::kI8:
      return static_cast<const std::int8_t*>(src)[i];
    default:
      return FloatView{const_cast<void*>(src), dtype}.load(i);
  }
}

/// Integers are rounded to nearest even and held at the ends of their range; NaN becomes 0.
__device__ void write_any(DType dtype, void* dst, std::int64_t i, double v) {
  const auto whole = [&](double low, double high) {
    return isnan(v) ? 0 : static_cast<std::int32_t>(fmin(fmax(rint(v), low), high));
  };
  switch (dtype) {
    case DType::kF64:
      static_cast<double*>(dst)[i] = v;
      return;
    case DType::kI32:
      static_cast<std::int32_t*>(dst)[i] = whole(-2147483648.0, 2147483647.0);
      return;
    case DType::kI8:
      static_cast<std::int8_t*>(dst)[i] = static_cast<std::int8_t>(whole(-128, 127));
      return;
    default:
      FloatView{dst, dtype}.store(i, static_cast<float>(v));
  }
}

/// Any dtypes at any address: elements [first, n). Rare but for odd addresses, so that double is fast enough.
__global__ void convert_any(DType from, const void* src, DType to, void* dst, std::int64_t first, std::int64_t n) {
  for (std::int64_t i = first + first_index(); i < n; i += index_stride()) {
    write_any(to, dst, i, read_any(from, src, i));
  }
}

bool is_floating(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16; }

}  // namespace

void convert_elements(const Kernel& kernel, DType from, const std::byte* src, DType to, std::byte* dst,
                      std::int64_t n) {
  const auto aligned = [](const std::byte* data, DType dtype) {
    return is_floating(dtype) && is_aligned(data, kConverted * static_cast<std::size_t>(size_of(dtype)));
  };
  const std::int64_t packs = aligned(src, from) && aligned(dst, to) ? n / kConverted : 0, whole = packs * kConverted;
  if (packs > 0) {
    for_dtype(from, [&](auto from_type) {
      for_dtype(to, [&](auto to_type) {
        using From = decltype(from_type);
        using To = decltype(to_type);
        if constexpr (!std::is_same_v<From, To>) launch_convert<From, To>(kernel, src, dst, packs);
      });
    });
    check_launch("copy");
  }
  if (whole == n) return;
  convert_any<<<blocks_for(kernel, n - whole), kThreads, 0, kernel.stream()>>>(from, src, to, dst, whole, n);
  check_launch("copy");
}

namespace {

/// A CopyRows in elements, or in units of some: `width` of them in a row.
struct RowMoves {
  unsigned rows, blocks;
  std::int64_t width, src_stride, dst_stride, src_block, dst_block, limit;
};

constexpr int kMovesDeep = 8;  // units that a thread has asked for before it writes the first

/// Moves twice the bytes of T per unit. A row of threads takes a row, gridDim.y of them if it is long.
template <class T>
__global__ void copy_rows(const T* src, T* dst, RowMoves m) {
  const std::int64_t first = std::int64_t{blockIdx.y} * blockDim.x + threadIdx.x;
  const std::int64_t step = std::int64_t{gridDim.y} * blockDim.x;
  for (unsigned r = blockIdx.x * blockDim.y + threadIdx.y; r < m.rows * m.blocks; r += gridDim.x * blockDim.y) {
    const unsigned block = r / m.rows, row = r % m.rows;
    const std::int64_t from = block * m.src_block + row * m.src_stride, to = block * m.dst_block + row * m.dst_stride;
    const std::int64_t there = m.limit - from < m.width ? m.limit - from : m.width;
    for (std::int64_t begin = first; begin < m.width; begin += kMovesDeep * step) {
      T units[kMovesDeep];
#pragma unroll
      for (int d = 0; d < kMovesDeep; ++d) {
        const std::int64_t c = begin + d * step;
        units[d] = c < there ? src[from + c] : T{};
      }
#pragma unroll
      for (int d = 0; d < kMovesDeep; ++d) {
        const std::int64_t c = begin + d * step;
        if (c < m.width) dst[to + c] = units[d];
      }
    }
  }
}

/// `m` in elements of `size` bytes, of which T holds some.
template <class T>
void launch_copy_rows(const Kernel& kernel, const std::byte* src, std::byte* dst, RowMoves m, std::int64_t size) {
  for (std::int64_t* n : {&m.width, &m.src_stride, &m.dst_stride, &m.src_block, &m.dst_block, &m.limit}) {
    *n = *n * size / static_cast<std::int64_t>(sizeof(T));
  }
  unsigned across = 1;
  while (across < kThreads && across < m.width) across *= 2;
  const dim3 threads(across, kThreads / across);
  const int down = blocks_for(kernel, std::int64_t{m.rows} * m.blocks, static_cast<int>(threads.y));
  const int most = std::max(1, blocks_for(kernel, m.width, static_cast<int>(across)) / down);
  copy_rows<<<dim3(static_cast<unsigned>(down), static_cast<unsigned>(most)), threads, 0, kernel.stream()>>>(
      reinterpret_cast<const T*>(src), reinterpret_cast<T*>(dst), m);
  check_launch("copy_rows");
}

/// Whether everything about the moves comes in units of 16 bytes.
bool comes_in_vectors(const std::byte* src, const std::byte* dst, const RowMoves& m, std::int64_t size) {
  for (const std::int64_t n : {m.width, m.src_stride, m.dst_stride, m.src_block, m.dst_block, m.limit}) {
    if (n * size % 16 != 0) return false;
  }
  return is_aligned(src, 16) && is_aligned(dst, 16);
}

void move_rows(const Kernel& kernel, const std::byte* src, std::byte* dst, const RowMoves& m, std::int64_t size) {
  if (m.rows == 0 || m.blocks == 0 || m.width == 0) return;
  if (comes_in_vectors(src, dst, m, size)) return launch_copy_rows<uint4>(kernel, src, dst, m, size);
  if (size == 1) return launch_copy_rows<std::uint8_t>(kernel, src, dst, m, size);
  if (size == 2) return launch_copy_rows<std::uint16_t>(kernel, src, dst, m, size);
  if (size == 4) return launch_copy_rows<std::uint32_t>(kernel, src, dst, m, size);
  launch_copy_rows<std::uint64_t>(kernel, src, dst, m, size);
}

}  // namespace

void move_matrix(const Kernel& kernel, const MatrixMove& m) {
  const RowMoves moves{static_cast<unsigned>(m.rows),       1, m.cols, m.src_stride, m.dst_stride, 0, 0,
                       (m.rows - 1) * m.src_stride + m.cols};
  move_rows(kernel, m.src, m.dst, moves, m.size);
}

void run(const Fill& op, Kernel& kernel) {
  const DType dtype = kernel.dtype(op.dst);
  const std::int64_t size = size_of(dtype), n = op.dst.count;
  if (n == 0) return;
  auto* dst = kernel.data<std::byte>(op.dst);
  const Space space = space_of(kernel, op.dst);
  if (op.value == 0 && space == Space::kDevice) {
    check(cudaMemsetAsync(dst, 0, static_cast<std::size_t>(n * size), kernel.stream()), "cudaMemsetAsync");
  } else if (space == Space::kHost) {
    auto* filled = kernel.scratch<std::byte>(n * size);
    fill_elements(kernel, filled, encode(dtype, op.value), size, n);
    copy_bytes(kernel, dst, filled, n * size);
  } else {
    fill_elements(kernel, dst, encode(dtype, op.value), size, n);
  }
}

void run(const Copy& op, Kernel& kernel) {
  SS_CHECK(op.src.count == op.dst.count, op.src.count, op.dst.count);
  const std::int64_t n = op.dst.count;
  if (n == 0) return;
  const DType from = kernel.dtype(op.src), to = kernel.dtype(op.dst);
  const std::int64_t src_bytes = n * size_of(from), dst_bytes = n * size_of(to);
  const auto* src = kernel.data<const std::byte>(op.src);
  auto* dst = kernel.data<std::byte>(op.dst);
  if (from == to) return copy_bytes(kernel, dst, src, dst_bytes);
  const bool src_away = is_pageable(kernel, op.src), dst_away = is_pageable(kernel, op.dst);
  const std::int64_t second = (src_bytes + 255) / 256 * 256;
  std::byte* scratch = src_away || dst_away ? kernel.scratch<std::byte>(second + dst_bytes) : nullptr;
  if (src_away) copy_bytes(kernel, scratch, src, src_bytes);
  std::byte* converted = dst_away ? scratch + second : dst;
  convert_elements(kernel, from, src_away ? scratch : src, to, converted, n);
  if (dst_away) copy_bytes(kernel, dst, converted, dst_bytes);
}

void run(const CopyRows& op, Kernel& kernel) {
  const std::int64_t size = size_of(kernel.dtype(op.dst));
  SS_CHECK((op.blocks - 1) * op.dst_block + (op.rows - 1) * op.dst_stride + op.cols <= op.dst.count, op.blocks, op.rows,
           op.cols, op.dst_stride, op.dst.count);
  SS_CHECK(op.rows * op.blocks < std::int64_t{1} << 31, op.rows, op.blocks);
  const RowMoves moves{static_cast<unsigned>(op.rows),
                       static_cast<unsigned>(op.blocks),
                       op.cols,
                       op.src_stride,
                       op.dst_stride,
                       op.src_block,
                       op.dst_block,
                       op.src.count};
  move_rows(kernel, kernel.data<const std::byte>(op.src), kernel.data<std::byte>(op.dst), moves, size);
}

}  // namespace shardscope::cuda
