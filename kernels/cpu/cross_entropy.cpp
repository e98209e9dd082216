#include <string>

#include "core/error.h"
#include "kernels/cpu/float_rows.h"

namespace shardscope {

void run(const CrossEntropy& op, Kernel& kernel) {
  float* loss = kernel.data(op.loss);
  const auto* targets = kernel.data<std::int32_t>(op.targets);
  for (std::int64_t r = 0; r < op.rows; ++r) {
    if (targets[r] < 0 || targets[r] >= op.vocab) {
      throw Error(ErrorKind::kDevice, "cross_entropy: target " + std::to_string(targets[r]) +
                                          " is outside the model's vocabulary of " + std::to_string(op.vocab));
    }
  }
  double* row_loss = kernel.lane.scratch.take<double>(op.rows);
  const auto gradient_scale = static_cast<float>(op.scale * kernel.scalars.loss_scale);
  const FloatRows logits(kernel, op.vocab, {{op.logits, Access::kUpdate}});
  const std::int64_t grain = 1 + kElementGrain / 4 / op.vocab;
  logits.for_all(op.rows, grain, [&](std::int64_t first, std::int64_t count, float* const* at) {
    for (std::int64_t r = 0; r < count; ++r) {
      row_loss[first + r] =
          kernel.loops.reduce.cross_entropy(at[0] + r * op.vocab, op.vocab, targets[first + r], gradient_scale);
    }
  });
  double total = 0;
  for (std::int64_t r = 0; r < op.rows; ++r) total += row_loss[r];
  *loss += static_cast<float>(op.scale * total);
}

}  // namespace shardscope
