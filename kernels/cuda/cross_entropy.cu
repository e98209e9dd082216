// Softmax cross-entropy, a block to a row. Moves twice the bytes of the logits (4 per element in bf16): a row is read
// twice, the second time from the second-level cache.
#include "kernels/cuda/loss.cuh"
#include "kernels/cuda/powers.cuh"
#include "kernels/cuda/rows.cuh"

namespace shardscope::cuda {
namespace {

/// A sum of exponentials relative to the largest number so far.
struct Running {
  float top = -1e30f, sum = 0;
  template <int N>
  __device__ void add(const float (&values)[N]) {
    float most = top;
#pragma unroll
    for (const float v : values) most = fmaxf(most, v);
    const float base = most * kLog2E;
    sum *= power_of_two(top * kLog2E - base);
#pragma unroll
    for (const float v : values) sum += power_of_two(v * kLog2E - base);
    top = most;
  }
};

/// Logits become their gradient; row_loss = -log softmax(row)[target]. A target outside the vocabulary stops the
/// device: the host cannot see it.
template <class T>
__global__ void cross_entropy(T* logits, const std::int32_t* targets, std::int64_t vocab, float scale,
                              double* row_loss) {
  const std::int64_t r = blockIdx.x;
  T* row = logits + r * vocab;
  const std::int32_t target = targets[r];
  if (target < 0 || target >= vocab) __trap();
  const float chosen = to_float(row[target]);
  Running running;
  read_row(row, vocab, [&](const auto& values) { running.add(values); });
  const float top = block_max(running.top), base = top * kLog2E;
  const double total = block_sum(static_cast<double>(running.sum * power_of_two((running.top - top) * kLog2E)));
  const auto factor = static_cast<float>(static_cast<double>(scale) / total);
  const auto gradient = [&](float v) { return power_of_two(v * kLog2E - base) * factor; };
  update_row(row, vocab, gradient);  // all have read `chosen`
  __syncthreads();
  if (threadIdx.x != 0) return;
  row[target] = from_float<T>(gradient(chosen) - scale);
  row_loss[r] = log(total) + static_cast<double>(top) - static_cast<double>(chosen);
}

}  // namespace

void run(const CrossEntropy& op, Kernel& kernel) {
  const auto* targets = kernel.data<std::int32_t>(op.targets);
  auto* row_loss = kernel.scratch<double>(op.rows);
  const auto scale = static_cast<float>(op.scale * kernel.scalars().loss_scale);
  for_dtype(kernel.dtype(op.logits), [&](auto type) {
    using T = decltype(type);
    cross_entropy<<<static_cast<unsigned>(op.rows), threads_for_row(op.vocab), 0, kernel.stream()>>>(
        kernel.data<T>(op.logits), targets, op.vocab, scale, row_loss);
  });
  check_launch("cross_entropy");
  add_losses(RowLosses{row_loss}, op.rows, op.scale, kernel.data(op.loss), kernel);
}

}  // namespace shardscope::cuda
