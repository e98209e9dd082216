// The loss over a vocabulary that is split among ranks: RowMax, ShiftedExp, ShardedCrossEntropy. A block to a row;
// bytes moved per logit: its own once (RowMax), twice (the others).
#include "kernels/cuda/loss.cuh"
#include "kernels/cuda/rows.cuh"

namespace shardscope::cuda {
namespace {

/// This rank's part of the vocabulary.
struct Part {
  std::int64_t vocab, real, first;
  /// The target's column among this rank's real ones, or -1.
  __device__ std::int64_t column_of(std::int32_t target) const {
    const std::int64_t column = target - first;
    return column >= 0 && column < real ? column : -1;
  }
};

template <class T>
__global__ void row_max(T* logits, Part part, float* top) {
  float most = -INFINITY;
  read_row(logits + blockIdx.x * part.vocab, part.real, [&](const auto& values) {
    for (const float v : values) most = fmaxf(most, v);
  });
  most = block_max(most);
  if (threadIdx.x == 0) top[blockIdx.x] = most;
}

/// A target outside the whole vocabulary stops the device.
template <class T>
__global__ void shifted_exp(T* logits, const float* top, const std::int32_t* targets, Part part, std::int64_t total,
                            std::int64_t rows, float* sums) {
  const std::int64_t r = blockIdx.x, column = part.column_of(targets[r]);
  if (targets[r] < 0 || targets[r] >= total) __trap();
  T* row = logits + r * part.vocab;
  const float shift = top[r], chosen = column < 0 ? 0.0f : to_float(row[column]) - shift;
  __syncthreads();  // all have read it
  float sum = 0;
  update_row(row, part.real, [&](float v) {
    const float e = expf(v - shift);
    sum += e;
    return e;
  });
  update_row(row + part.real, part.vocab - part.real, [](float) { return 0.0f; });
  const double row_sum = block_sum(static_cast<double>(sum));
  if (threadIdx.x != 0) return;
  sums[r] = static_cast<float>(row_sum);
  sums[rows + r] = chosen;
}

template <class T>
__global__ void sharded_cross_entropy(T* logits, const float* sums, const std::int32_t* targets, Part part,
                                      double scale) {
  const std::int64_t r = blockIdx.x, column = part.column_of(targets[r]);
  const auto factor = static_cast<float>(scale / static_cast<double>(sums[r])), one = static_cast<float>(scale);
  T* row = logits + r * part.vocab;
  const float chosen = column < 0 ? 0.0f : to_float(row[column]);
  __syncthreads();  // all have read it
  update_row(row, part.real, [&](float v) { return v * factor; });
  __syncthreads();
  if (threadIdx.x == 0 && column >= 0) row[column] = from_float<T>(chosen * factor - one);
}

/// Each row's log(sum) - target's logit.
struct ShardedLosses {
  const float* sums;
  std::int64_t rows;
  __device__ double operator[](std::int64_t row) const {
    return log(static_cast<double>(sums[row])) - static_cast<double>(sums[rows + row]);
  }
};

}  // namespace

void run(const RowMax& op, Kernel& kernel) {
  for_dtype(kernel.dtype(op.logits), [&](auto type) {
    using T = decltype(type);
    row_max<T><<<static_cast<unsigned>(op.rows), threads_for_row(op.vocab), 0, kernel.stream()>>>(
        kernel.data<T>(op.logits), {op.vocab, op.real, 0}, kernel.data(op.top));
  });
  check_launch("row_max");
}

void run(const ShiftedExp& op, Kernel& kernel) {
  for_dtype(kernel.dtype(op.logits), [&](auto type) {
    using T = decltype(type);
    shifted_exp<T><<<static_cast<unsigned>(op.rows), threads_for_row(op.vocab), 0, kernel.stream()>>>(
        kernel.data<T>(op.logits), kernel.data(op.top), kernel.data<std::int32_t>(op.targets),
        {op.vocab, op.real, op.first}, op.total, op.rows, kernel.data(op.sums));
  });
  check_launch("shifted_exp");
}

void run(const ShardedCrossEntropy& op, Kernel& kernel) {
  for_dtype(kernel.dtype(op.logits), [&](auto type) {
    using T = decltype(type);
    sharded_cross_entropy<T><<<static_cast<unsigned>(op.rows), threads_for_row(op.vocab), 0, kernel.stream()>>>(
        kernel.data<T>(op.logits), kernel.data(op.sums), kernel.data<std::int32_t>(op.targets),
        {op.vocab, op.real, op.first}, op.scale * kernel.scalars().loss_scale);
  });
  check_launch("sharded_cross_entropy");
  add_losses(ShardedLosses{kernel.data(op.sums), op.rows}, op.rows, op.scale, kernel.data(op.loss), kernel);
}

}  // namespace shardscope::cuda
