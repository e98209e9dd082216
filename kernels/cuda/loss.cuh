#pragma once
// What the losses share: adding up what each row lost.
//
//   add_losses(RowLosses{row_loss}, op.rows, op.scale, kernel.data(op.loss), kernel);

#include "kernels/cuda/device.cuh"

namespace shardscope::cuda {

/// Losses of rows that lie one after the other.
struct RowLosses {
  const double* data;
  __device__ double operator[](std::int64_t row) const { return data[row]; }
};

/// loss += scale * the sum of losses[row], in double and in the same order each time. One block.
template <class Losses>
__global__ void add_losses_kernel(Losses losses, std::int64_t rows, double scale, float* loss) {
  double sum = 0;
  for (std::int64_t r = threadIdx.x; r < rows; r += blockDim.x) sum += losses[r];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *loss += static_cast<float>(scale * sum);
}

template <class Losses>
void add_losses(const Losses& losses, std::int64_t rows, double scale, float* loss, const Kernel& kernel) {
  add_losses_kernel<<<1, 1024, 0, kernel.stream()>>>(losses, rows, scale, loss);
  check_launch("add_losses");
}

}  // namespace shardscope::cuda
