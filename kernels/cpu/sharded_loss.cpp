// The loss over a vocabulary that is split among ranks: RowMax, ShiftedExp, ShardedCrossEntropy.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/error.h"
#include "kernels/cpu/float_rows.h"

namespace shardscope {
namespace {

/// Rows of logits that make a thread's share worth its start.
std::int64_t row_grain(std::int64_t vocab) { return 1 + kElementGrain / 4 / vocab; }

/// The target's column among this rank's real ones, or -1.
std::int64_t column_of(std::int32_t target, std::int64_t first, std::int64_t real) {
  const std::int64_t column = target - first;
  return column >= 0 && column < real ? column : -1;
}

void check_targets(const std::int32_t* targets, std::int64_t rows, std::int64_t total) {
  for (std::int64_t r = 0; r < rows; ++r) {
    if (targets[r] >= 0 && targets[r] < total) continue;
    throw Error(ErrorKind::kDevice, "shifted_exp: target " + std::to_string(targets[r]) +
                                        " is outside the model's vocabulary of " + std::to_string(total));
  }
}

}  // namespace

void run(const RowMax& op, Kernel& kernel) {
  const FloatRows logits(kernel, op.vocab, {{op.logits, Access::kRead}});
  float* top = kernel.data(op.top);
  logits.for_all(op.rows, row_grain(op.vocab), [&](std::int64_t first, std::int64_t count, float* const* at) {
    for (std::int64_t r = 0; r < count; ++r) {
      top[first + r] = op.real == 0 ? -std::numeric_limits<float>::infinity()
                                    : kernel.loops.reduce.row_max(at[0] + r * op.vocab, op.real);
    }
  });
}

void run(const ShiftedExp& op, Kernel& kernel) {
  const FloatRows logits(kernel, op.vocab, {{op.logits, Access::kUpdate}});
  const float* top = kernel.data(op.top);
  float* sums = kernel.data(op.sums);
  const auto* targets = kernel.data<std::int32_t>(op.targets);
  check_targets(targets, op.rows, op.total);
  logits.for_all(op.rows, row_grain(op.vocab), [&](std::int64_t first, std::int64_t count, float* const* at) {
    for (std::int64_t r = first; r < first + count; ++r) {
      float* row = at[0] + (r - first) * op.vocab;
      const std::int64_t column = column_of(targets[r], op.first, op.real);
      sums[op.rows + r] = column < 0 ? 0.0f : row[column] - top[r];
      sums[r] = static_cast<float>(kernel.loops.reduce.exponentials(row, top[r], op.real));
      std::fill(row + op.real, row + op.vocab, 0.0f);
    }
  });
}

void run(const ShardedCrossEntropy& op, Kernel& kernel) {
  const FloatRows logits(kernel, op.vocab, {{op.logits, Access::kUpdate}});
  const float* sums = kernel.data(op.sums);
  float* loss = kernel.data(op.loss);
  const auto* targets = kernel.data<std::int32_t>(op.targets);
  const double scale = op.scale * kernel.scalars.loss_scale;
  logits.for_all(op.rows, row_grain(op.vocab), [&](std::int64_t first, std::int64_t count, float* const* at) {
    for (std::int64_t r = first; r < first + count; ++r) {
      float* row = at[0] + (r - first) * op.vocab;
      kernel.loops.elementwise.scale(row, static_cast<float>(scale / static_cast<double>(sums[r])), op.real);
      const std::int64_t column = column_of(targets[r], op.first, op.real);
      if (column >= 0) row[column] -= static_cast<float>(scale);
    }
  });
  double total = 0;
  for (std::int64_t r = 0; r < op.rows; ++r) {
    total += std::log(static_cast<double>(sums[r])) - static_cast<double>(sums[op.rows + r]);
  }
  *loss += static_cast<float>(op.scale * total);
}

}  // namespace shardscope
