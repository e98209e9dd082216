// Rows are independent; sums over rows are taken in chunks of kRowChunk, which are then added in order, so that the
// number of threads does not change a bit.
#include "kernels/cpu/kernel.h"

#include <algorithm>

namespace shardscope {
namespace {

constexpr std::int64_t kRowChunk = 32;

std::int64_t chunks_of(std::int64_t rows) { return (rows + kRowChunk - 1) / kRowChunk; }

/// out [cols] = or += the column sums of partial [count, cols].
void add_partials(const Kernel& kernel, const float* partial, std::int64_t count, std::int64_t cols, bool accumulate,
                  float* out) {
  if (out == nullptr) return;
  if (!accumulate) std::fill_n(out, cols, 0.0f);
  for (std::int64_t i = 0; i < count; ++i) kernel.loops.elementwise.accumulate(partial + i * cols, out, cols);
}

/// f(begin, end, sums) for each chunk of rows, with its own sums [cols] to start from zero.
template <class Body>
void for_each_chunk(const Kernel& kernel, std::int64_t rows, std::int64_t cols, float* partial, Body&& f) {
  parallel_for(kernel, chunks_of(rows), 1, [&](std::int64_t first, std::int64_t last, int) {
    for (std::int64_t chunk = first; chunk < last; ++chunk) {
      float* sums = partial + chunk * cols;
      std::fill_n(sums, cols, 0.0f);
      f(chunk * kRowChunk, std::min(rows, (chunk + 1) * kRowChunk), sums);
    }
  });
}

}  // namespace

void run(const LayerNorm& op, Kernel& kernel) {
  const NormRows rows{kernel.data(op.x),   kernel.data(op.weight),    kernel.data(op.bias),
                      kernel.data(op.out), kernel.data(op.mean),      kernel.data(op.rstd),
                      op.hidden,           static_cast<float>(op.eps)};
  parallel_for(kernel, op.rows, 1 + kElementGrain / op.hidden,
               [&](std::int64_t begin, std::int64_t end, int) { kernel.loops.norm.layer_norm(rows, begin, end); });
}

void run(const RmsNorm& op, Kernel& kernel) {
  const NormRows rows{kernel.data(op.x), kernel.data(op.weight), nullptr,   kernel.data(op.out),
                      nullptr,           kernel.data(op.rstd),   op.hidden, static_cast<float>(op.eps)};
  parallel_for(kernel, op.rows, 1 + kElementGrain / op.hidden,
               [&](std::int64_t begin, std::int64_t end, int) { kernel.loops.norm.rms_norm(rows, begin, end); });
}

void run(const LayerNormBackward& op, Kernel& kernel) {
  const NormBackwardRows rows{
      kernel.data(op.d_out), kernel.data(op.x), kernel.data(op.weight), kernel.data(op.mean), kernel.data(op.rstd),
      kernel.data(op.d_x),   op.hidden,         op.accumulate_d_x};
  const std::int64_t chunks = chunks_of(op.rows), cols = 2 * op.hidden;
  float* partial = kernel.lane.scratch.take<float>(chunks * cols);
  for_each_chunk(kernel, op.rows, cols, partial, [&](std::int64_t begin, std::int64_t end, float* sums) {
    kernel.loops.norm.layer_norm_backward(rows, sums, sums + op.hidden, begin, end);
  });
  float* total = kernel.lane.scratch.take<float>(cols);
  add_partials(kernel, partial, chunks, cols, false, total);
  add_partials(kernel, total, 1, op.hidden, op.accumulate, kernel.data(op.d_weight));
  add_partials(kernel, total + op.hidden, 1, op.hidden, op.accumulate, kernel.data(op.d_bias));
}

void run(const RmsNormBackward& op, Kernel& kernel) {
  const NormBackwardRows rows{
      kernel.data(op.d_out), kernel.data(op.x), kernel.data(op.weight), nullptr, kernel.data(op.rstd),
      kernel.data(op.d_x),   op.hidden,         op.accumulate_d_x};
  const std::int64_t chunks = chunks_of(op.rows);
  float* partial = kernel.lane.scratch.take<float>(chunks * op.hidden);
  for_each_chunk(kernel, op.rows, op.hidden, partial, [&](std::int64_t begin, std::int64_t end, float* sums) {
    kernel.loops.norm.rms_norm_backward(rows, sums, begin, end);
  });
  float* total = kernel.lane.scratch.take<float>(op.hidden);
  add_partials(kernel, partial, chunks, op.hidden, false, total);
  add_partials(kernel, total, 1, op.hidden, op.accumulate, kernel.data(op.d_weight));
}

void run(const BiasGradient& op, Kernel& kernel) {
  const float* d_out = kernel.data(op.d_out);
  const std::int64_t chunks = chunks_of(op.rows);
  float* partial = kernel.lane.scratch.take<float>(chunks * op.cols);
  for_each_chunk(kernel, op.rows, op.cols, partial, [&](std::int64_t begin, std::int64_t end, float* sums) {
    kernel.loops.reduce.add_rows(d_out + begin * op.cols, end - begin, op.cols, sums);
  });
  float* total = kernel.lane.scratch.take<float>(op.cols);
  add_partials(kernel, partial, chunks, op.cols, false, total);
  add_partials(kernel, total, 1, op.cols, op.accumulate, kernel.data(op.d_bias));
}

}  // namespace shardscope
