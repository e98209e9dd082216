#include <string>

#include "core/error.h"
#include "kernels/cpu/kernel.h"

namespace shardscope {

void run(const CrossEntropy& op, Kernel& kernel) {
  float *logits = kernel.data(op.logits), *loss = kernel.data(op.loss);
  const auto* targets = kernel.data<std::int32_t>(op.targets);
  for (std::int64_t r = 0; r < op.rows; ++r) {
    if (targets[r] < 0 || targets[r] >= op.vocab) {
      throw Error(ErrorKind::kDevice, "cross_entropy: target " + std::to_string(targets[r]) +
                                          " is outside the model's vocabulary of " + std::to_string(op.vocab));
    }
  }
  double* row_loss = kernel.lane.scratch.take<double>(op.rows);
  const auto scale = static_cast<float>(op.scale);
  parallel_for(kernel, op.rows, 1 + kElementGrain / 4 / op.vocab, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = begin; r < end; ++r) {
      row_loss[r] = kernel.loops.reduce.cross_entropy(logits + r * op.vocab, op.vocab, targets[r], scale);
    }
  });
  double total = 0;
  for (std::int64_t r = 0; r < op.rows; ++r) total += row_loss[r];
  *loss += static_cast<float>(op.scale * total);
}

}  // namespace shardscope
