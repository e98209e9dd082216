// Built without fused multiply-add: an element's bits must not depend on where a region was cut.
#include "kernels/cpu/loops/loops.h"
#include "kernels/cpu/loops/simd.h"

namespace shardscope::SS_ISA {
namespace {

/// A plain loop, so that the compiler vectorises the square root. Every line it writes it has read: no use for
/// streaming stores.
void adam(const AdamFactors& factors, const float* __restrict grad, float* __restrict param, float* __restrict exp_avg,
          float* __restrict exp_avg_sq, std::int64_t n) {
  const AdamFactors f = factors;
  for (std::int64_t i = 0; i < n; ++i) {
    const float g = grad[i] * f.coefficient + param[i] * f.l2;
    const float m = exp_avg[i] * f.beta1 + g * f.rest1;
    const float v = exp_avg_sq[i] * f.beta2 + g * g * f.rest2;
    const float step = f.step_size * m / (__builtin_sqrtf(v) * f.root_correction + f.eps);
    exp_avg[i] = m;
    exp_avg_sq[i] = v;
    param[i] = param[i] * f.keep - step;
  }
}

}  // namespace

extern const AdamLoops adam_loops;
const AdamLoops adam_loops = {adam};

}  // namespace shardscope::SS_ISA
