#pragma once
// Operands of f32, bf16 or f16, worked on as rows of floats: where they lie if all are f32, else a block of rows at a
// time in scratch that stays in the cache, widened before and narrowed after.
//
//   const FloatRows rows(kernel, width, {{op.x, Access::kRead}, {op.out, Access::kWrite}});
//   rows.for_each_block(begin, end, thread, [&](std::int64_t first, std::int64_t count, float* const* at) {
//     loop(at[0], at[1], count * width);   // rows [first, first + count)
//   });

#include <algorithm>
#include <initializer_list>

#include "core/check.h"
#include "kernels/cpu/kernel.h"

namespace shardscope {

inline Element element_of(DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return Element::kBF16;
    case DType::kF16:
      return Element::kF16;
    case DType::kI8:
      return Element::kI8;
    case DType::kF32:
    case DType::kF64:
    case DType::kI32:
      break;
  }
  return Element::kF32;
}

/// The operand's elements and their type, which runs() has checked. Nothing for an empty region.
inline Elements elements_of(const Kernel& kernel, const Region& region) {
  const DType dtype = region.empty() ? DType::kF32 : kernel.memory.dtype(region);
  return {kernel.data<std::byte>(region), element_of(dtype)};
}

/// Elements [at, at + n) to and from floats elsewhere.
inline void widen(const Kernel& kernel, const Elements& from, std::int64_t at, std::int64_t n, float* to) {
  const auto* halves = static_cast<const std::uint16_t*>(from.data) + at;
  if (from.type == Element::kBF16) return kernel.loops.convert.bf16_to_f32(halves, to, n);
  if (from.type == Element::kF16) return kernel.loops.convert.f16_to_f32(halves, to, n);
  std::copy_n(static_cast<const float*>(from.data) + at, n, to);
}
inline void narrow(const Kernel& kernel, const float* from, const Elements& to, std::int64_t at, std::int64_t n) {
  auto* halves = static_cast<std::uint16_t*>(to.data) + at;
  if (to.type == Element::kBF16) return kernel.loops.convert.f32_to_bf16(from, halves, n);
  if (to.type == Element::kF16) return kernel.loops.convert.f32_to_f16(from, halves, n);
  std::copy_n(from, n, static_cast<float*>(to.data) + at);
}

/// Elements [at, at + n) as floats: where they lie if f32, else in `buffer`.
inline const float* floats_at(const Kernel& kernel, const Elements& from, std::int64_t at, std::int64_t n,
                              float* buffer) {
  if (from.type == Element::kF32) return static_cast<const float*>(from.data) + at;
  widen(kernel, from, at, n, buffer);
  return buffer;
}

/// A small operand that is only read: itself if f32, else widened into scratch. Null if it is not there.
inline const float* as_floats(Kernel& kernel, const Region& region) {
  const Elements elements = elements_of(kernel, region);
  if (elements.data == nullptr || elements.type == Element::kF32) return static_cast<const float*>(elements.data);
  float* floats = kernel.lane.scratch.take<float>(region.count);
  widen(kernel, elements, 0, region.count, floats);
  return floats;
}

class FloatRows {
 public:
  struct Operand {
    Region region;
    Access access = Access::kRead;
  };

  /// Rows of `width` elements. At most kMost operands; empty ones come out as null.
  FloatRows(Kernel& kernel, std::int64_t width, std::initializer_list<Operand> operands)
      : kernel_(kernel), width_(width), rows_(std::max<std::int64_t>(1, kBlock / width)) {
    SS_CHECK(operands.size() <= kMost, operands.size());
    for (const Operand& operand : operands) {
      parts_[count_++] = {elements_of(kernel, operand.region), operand.access};
      narrow_ = narrow_ || parts_[count_ - 1].elements.type != Element::kF32;
    }
    if (narrow_) scratch_ = kernel.lane.scratch.take<float>(count_ * stride() * kernel.threads);
  }

  /// f(first, count, at): rows [first, first + count) lie at at[i] for operand i. All of [begin, end), in order.
  /// `thread` says whose scratch to use.
  template <class Body>
  void for_each_block(std::int64_t begin, std::int64_t end, int thread, Body&& f) const {
    const std::int64_t step = narrow_ ? rows_ : end - begin;
    for (std::int64_t first = begin; first < end; first += step) {
      const std::int64_t rows = std::min(step, end - first);
      float* at[kMost] = {};
      for (std::int64_t i = 0; i < count_; ++i) at[i] = open(i, first, rows, thread);
      f(first, rows, static_cast<float* const*>(at));
      for (std::int64_t i = 0; i < count_; ++i) close(i, first, rows, at[i]);
    }
  }

  /// Rows [0, rows) on all threads, each with a multiple of `grain`.
  template <class Body>
  void for_all(std::int64_t rows, std::int64_t grain, Body&& f) const {
    parallel_for(kernel_, rows, grain,
                 [&](std::int64_t begin, std::int64_t end, int thread) { for_each_block(begin, end, thread, f); });
  }

 private:
  static constexpr std::int64_t kBlock = 2048;  ///< elements; a few operands' blocks fit the first-level cache
  static constexpr std::int64_t kMost = 6;
  struct Part {
    Elements elements;
    Access access;
    bool in_place() const { return elements.type == Element::kF32 || elements.data == nullptr; }
  };

  std::int64_t stride() const { return rows_ * width_; }

  float* open(std::int64_t i, std::int64_t first, std::int64_t rows, int thread) const {
    const Part& part = parts_[i];
    if (part.elements.data == nullptr) return nullptr;
    if (part.in_place()) return static_cast<float*>(part.elements.data) + first * width_;
    float* block = scratch_ + (thread * count_ + i) * stride();
    if (part.access != Access::kWrite) widen(kernel_, part.elements, first * width_, rows * width_, block);
    return block;
  }
  void close(std::int64_t i, std::int64_t first, std::int64_t rows, const float* block) const {
    const Part& part = parts_[i];
    if (part.in_place() || part.access == Access::kRead) return;
    narrow(kernel_, block, part.elements, first * width_, rows * width_);
  }

  const Kernel& kernel_;
  std::int64_t width_, rows_, count_ = 0;
  Part parts_[kMost] = {};
  bool narrow_ = false;
  float* scratch_ = nullptr;
};

/// f(n, at) for operands of `count` elements without rows, on all threads.
template <class Body>
void for_each_float(Kernel& kernel, std::int64_t count, std::initializer_list<FloatRows::Operand> operands, Body&& f) {
  FloatRows(kernel, 1, operands).for_all(count, kElementGrain, [&](std::int64_t, std::int64_t n, float* const* at) {
    f(n, at);
  });
}

}  // namespace shardscope
