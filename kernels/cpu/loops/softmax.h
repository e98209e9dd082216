#pragma once
// The softmax of scores that come block by block: relative to the largest score so far.
//
//   Running running{-inf, 0};
//   for each block of scores: factor = exponentials(row, visible, width, running);  out = out * factor + row * values
//   out /= running.sum;

#include "kernels/cpu/loops/transpose.h"
#include "kernels/cpu/loops/vector_math.h"

namespace shardscope::SS_ISA {
namespace {

SS_INLINE std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
SS_INLINE float root(float v) { return __builtin_sqrtf(v); }
SS_INLINE float log_of(float v) { return static_cast<float>(__builtin_log(static_cast<double>(v))); }

inline void clear(float* data, std::int64_t n) {
  for_each_vector(n, [&](auto c) { store(data, c, splat(0)); });
}

/// The running softmax of a query: the largest score, the sum of exponentials relative to it.
struct Running {
  float top, sum;
};

/// Scores of a row become exponentials, zeros where it sees nothing up to `width`. What was summed before must be
/// scaled by the factor returned.
SS_INLINE float exponentials(float* row, std::int64_t visible, std::int64_t width, Running& running) {
  float top = running.top;
  F best = splat(top);
  for (std::int64_t j = 0; j + kWidth <= visible; j += kWidth) best = max(load(row + j), best);
  top = max_lane(best);
  for (std::int64_t j = visible / kWidth * kWidth; j < visible; ++j) top = row[j] > top ? row[j] : top;
  for (std::int64_t j = visible; j < padded(visible); ++j) row[j] = -__builtin_inff();
  F sums = splat(0);
  for (std::int64_t j = 0; j < padded(visible); j += kWidth) {
    const F e = exp(load(row + j) - top);
    store(row + j, e);
    sums += e;
  }
  for (std::int64_t j = padded(visible); j < width; j += kWidth) store(row + j, splat(0));
  const float factor = exp(splat(running.top - top))[0];
  running = {top, running.sum * factor + sum(sums)};
  return factor;
}

}  // namespace
}  // namespace shardscope::SS_ISA
