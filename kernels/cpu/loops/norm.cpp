// Row by row: a row of a few thousand floats stays in the first-level cache while it is read two or three times.
#include "kernels/cpu/loops/loops.h"
#include "kernels/cpu/loops/simd.h"

namespace shardscope::SS_ISA {
namespace {

/// The sum of f over the elements of a row, in two chains so that additions overlap.
template <class Term>
SS_INLINE float row_sum(std::int64_t n, Term&& f) {
  F even = splat(0), odd = splat(0);
  std::int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    even += f(Whole{i});
    odd += f(Whole{i + kWidth});
  }
  if (i + kWidth <= n) {
    even += f(Whole{i});
    i += kWidth;
  }
  if (i < n) odd += f(Tail{i, static_cast<int>(n - i)});
  return sum(even + odd);
}

/// A tail reads as zeros, which a sum of (x - mean)^2 must not count.
SS_INLINE F centred(const float* x, Whole c, float mean) { return load(x, c) - mean; }
SS_INLINE F centred(const float* x, Tail c, float mean) {
  float lanes[kWidth] = {};
  for (int i = 0; i < c.count; ++i) lanes[i] = x[c.at + i] - mean;
  return load(lanes);
}

void layer_norm(const NormRows& a, std::int64_t begin, std::int64_t end) {
  const auto n = static_cast<float>(a.hidden);
  for (std::int64_t r = begin; r < end; ++r) {
    const float* x = a.x + r * a.hidden;
    float* out = a.out + r * a.hidden;
    const float mean = row_sum(a.hidden, [&](auto c) { return load(x, c); }) / n;
    const float squares = row_sum(a.hidden, [&](auto c) {
      const F d = centred(x, c, mean);
      return d * d;
    });
    const float rstd = 1.0f / __builtin_sqrtf(squares / n + a.eps);
    for_each_vector(a.hidden, [&](auto c) {
      const F shift = a.bias ? load(a.bias, c) : splat(0);
      store(out, c, (load(x, c) - mean) * rstd * load(a.weight, c) + shift);
    });
    a.mean[r] = mean;
    a.rstd[r] = rstd;
  }
}

void rms_norm(const NormRows& a, std::int64_t begin, std::int64_t end) {
  const auto n = static_cast<float>(a.hidden);
  for (std::int64_t r = begin; r < end; ++r) {
    const float* x = a.x + r * a.hidden;
    float* out = a.out + r * a.hidden;
    const float squares = row_sum(a.hidden, [&](auto c) { return load(x, c) * load(x, c); });
    const float rstd = 1.0f / __builtin_sqrtf(squares / n + a.eps);
    for_each_vector(a.hidden, [&](auto c) { store(out, c, load(x, c) * rstd * load(a.weight, c)); });
    a.rstd[r] = rstd;
  }
}

/// With g = d_out * weight and h = (x - mean) * rstd:  d_x = rstd * (g - mean(g) - h * mean(g h)), where RmsNorm lacks
/// the mean(g);  d_weight += d_out * h;  d_bias += d_out.
template <bool Centre>
SS_INLINE void norm_backward(const NormBackwardRows& a, float* d_weight, float* d_bias, std::int64_t begin,
                             std::int64_t end) {
  const auto n = static_cast<float>(a.hidden);
  for (std::int64_t r = begin; r < end; ++r) {
    const float *x = a.x + r * a.hidden, *d_out = a.d_out + r * a.hidden;
    float* d_x = a.d_x + r * a.hidden;
    const float rstd = a.rstd[r], mean = Centre ? a.mean[r] : 0.0f;
    const auto h = [&](auto c) { return (load(x, c) - mean) * rstd; };
    const auto g = [&](auto c) { return load(d_out, c) * load(a.weight, c); };
    const float mean_gh = row_sum(a.hidden, [&](auto c) { return g(c) * h(c); }) / n;
    const float mean_g = Centre ? row_sum(a.hidden, g) / n : 0.0f;
    for_each_vector(a.hidden, [&](auto c) {
      const F hat = h(c), d = load(d_out, c);
      const F gradient = (d * load(a.weight, c) - mean_g - hat * mean_gh) * rstd;
      store(d_x, c, a.accumulate_d_x ? load(d_x, c) + gradient : gradient);
      store(d_weight, c, load(d_weight, c) + d * hat);
      if (Centre) store(d_bias, c, load(d_bias, c) + d);
    });
  }
}

void layer_norm_backward(const NormBackwardRows& a, float* d_weight, float* d_bias, std::int64_t begin,
                         std::int64_t end) {
  norm_backward<true>(a, d_weight, d_bias, begin, end);
}
void rms_norm_backward(const NormBackwardRows& a, float* d_weight, std::int64_t begin, std::int64_t end) {
  norm_backward<false>(a, d_weight, nullptr, begin, end);
}

}  // namespace

extern const NormLoops norm_loops;
const NormLoops norm_loops = {layer_norm, rms_norm, layer_norm_backward, rms_norm_backward};

}  // namespace shardscope::SS_ISA
