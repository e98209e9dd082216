#include <cmath>

#include "core/check.h"
#include "kernels/adam_factors.h"
#include "kernels/cpu/float_rows.h"

namespace shardscope {

/// In chunks of fixed size, added in order: the number of threads does not change a bit.
void run(const SumSquares& op, Kernel& kernel) {
  constexpr std::int64_t kChunk = 1 << 16;
  const std::int64_t n = op.x.count, chunks = (n + kChunk - 1) / kChunk;
  const FloatRows rows(kernel, 1, {{op.x, Access::kRead}});
  double* partial = kernel.lane.scratch.take<double>(chunks);
  parallel_for(kernel, chunks, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
    for (std::int64_t c = begin; c < end; ++c) {
      partial[c] = 0;
      rows.for_each_block(c * kChunk, std::min(n, (c + 1) * kChunk), thread,
                          [&](std::int64_t, std::int64_t count, float* const* at) {
                            partial[c] += kernel.loops.reduce.sum_squares(at[0], count);
                          });
    }
  });
  double total = 0;
  for (std::int64_t c = 0; c < chunks; ++c) total += partial[c];
  *kernel.data<double>(op.sum) += total;
}

/// From the norm as it is reported, so that equal norms clip equally. A NaN norm gives a NaN coefficient.
void run(const ClipCoefficient& op, Kernel& kernel) {
  const double sum = *kernel.data<double>(op.sum), scale = kernel.scalars.loss_scale;
  const auto norm = static_cast<float>(std::sqrt(sum) / scale);
  const double ratio = op.max_norm / (static_cast<double>(norm) + 1e-6);
  *kernel.data(op.norm) = norm;
  *kernel.data(op.coefficient) = static_cast<float>((op.max_norm == 0 || ratio >= 1 ? 1 : ratio) / scale);
  if (!op.overflow.empty()) *kernel.data<std::int32_t>(op.overflow) = std::isfinite(sum) ? 0 : 1;
}

void run(const Adam& op, Kernel& kernel) {
  const std::int64_t n = op.param.count;
  SS_CHECK(op.grad.count == n && op.exp_avg.count == n && op.exp_avg_sq.count == n, n, op.grad.count);
  const float* coefficient = kernel.data(op.coefficient);
  const auto* overflow = kernel.data<std::int32_t>(op.overflow);
  const bool skip = overflow != nullptr && *overflow != 0;
  const AdamFactors factors = adam_factors(op, kernel.scalars, coefficient == nullptr ? 1.0f : *coefficient);
  for_each_float(kernel, n,
                 {{op.grad, Access::kRead},
                  {op.param, Access::kUpdate},
                  {op.exp_avg, Access::kUpdate},
                  {op.exp_avg_sq, Access::kUpdate},
                  {op.copy, Access::kWrite}},
                 [&](std::int64_t count, float* const* at) {
                   if (!skip) kernel.loops.adam.adam(factors, at[0], at[1], at[2], at[3], count);
                   if (at[4] != nullptr) std::copy_n(at[1], count, at[4]);
                 });
}

}  // namespace shardscope
