// Rows are independent; sums over rows are taken in chunks of kRowChunk, which are then added in order, so that the
// number of threads does not change a bit.
#include <algorithm>

#include "kernels/cpu/float_rows.h"

namespace shardscope {
namespace {

constexpr std::int64_t kRowChunk = 32;

std::int64_t chunks_of(std::int64_t rows) { return (rows + kRowChunk - 1) / kRowChunk; }

/// out [cols] = or += the column sums of partial [count, cols], whose rows are `stride` apart; rounded once.
void add_partials(Kernel& kernel, const float* partial, std::int64_t count, std::int64_t stride, const Region& out,
                  bool accumulate) {
  const std::int64_t cols = out.count;
  if (cols == 0) return;
  float* total = kernel.lane.scratch.take<float>(cols);
  std::fill_n(total, cols, 0.0f);
  for (std::int64_t i = 0; i < count; ++i) kernel.loops.elementwise.accumulate(partial + i * stride, total, cols);
  const FloatRows sums(kernel, 1, {{out, accumulate ? Access::kUpdate : Access::kWrite}});
  sums.for_each_block(0, cols, 0, [&](std::int64_t first, std::int64_t n, float* const* at) {
    if (!accumulate) std::fill_n(at[0], n, 0.0f);
    kernel.loops.elementwise.accumulate(total + first, at[0], n);
  });
}

/// f(begin, end, thread, sums) for each chunk of rows, with its own sums [cols] to start from zero.
template <class Body>
void for_each_chunk(const Kernel& kernel, std::int64_t rows, std::int64_t cols, float* partial, Body&& f) {
  parallel_for(kernel, chunks_of(rows), 1, [&](std::int64_t first, std::int64_t last, int thread) {
    for (std::int64_t chunk = first; chunk < last; ++chunk) {
      float* sums = partial + chunk * cols;
      std::fill_n(sums, cols, 0.0f);
      f(chunk * kRowChunk, std::min(rows, (chunk + 1) * kRowChunk), thread, sums);
    }
  });
}

}  // namespace

void run(const LayerNorm& op, Kernel& kernel) {
  const FloatRows rows(kernel, op.hidden, {{op.x, Access::kRead}, {op.out, Access::kWrite}});
  const float *weight = as_floats(kernel, op.weight), *bias = as_floats(kernel, op.bias);
  float *mean = kernel.data(op.mean), *rstd = kernel.data(op.rstd);
  const auto eps = static_cast<float>(op.eps);
  rows.for_all(op.rows, 1 + kElementGrain / op.hidden, [&](std::int64_t first, std::int64_t count, float* const* at) {
    const NormRows block{at[0], weight, bias, at[1], mean + first, rstd + first, op.hidden, eps};
    kernel.loops.norm.layer_norm(block, 0, count);
  });
}

void run(const RmsNorm& op, Kernel& kernel) {
  const FloatRows rows(kernel, op.hidden, {{op.x, Access::kRead}, {op.out, Access::kWrite}});
  const float* weight = as_floats(kernel, op.weight);
  float* rstd = kernel.data(op.rstd);
  const auto eps = static_cast<float>(op.eps);
  rows.for_all(op.rows, 1 + kElementGrain / op.hidden, [&](std::int64_t first, std::int64_t count, float* const* at) {
    const NormRows block{at[0], weight, nullptr, at[1], nullptr, rstd + first, op.hidden, eps};
    kernel.loops.norm.rms_norm(block, 0, count);
  });
}

void run(const LayerNormBackward& op, Kernel& kernel) {
  const FloatRows rows(kernel, op.hidden,
                       {{op.d_out, Access::kRead},
                        {op.x, Access::kRead},
                        {op.d_x, op.accumulate_d_x ? Access::kUpdate : Access::kWrite}});
  const float* weight = as_floats(kernel, op.weight);
  const float *mean = kernel.data(op.mean), *rstd = kernel.data(op.rstd);
  const std::int64_t chunks = chunks_of(op.rows), cols = 2 * op.hidden;
  float* partial = kernel.lane.scratch.take<float>(chunks * cols);
  for_each_chunk(kernel, op.rows, cols, partial, [&](std::int64_t begin, std::int64_t end, int thread, float* sums) {
    rows.for_each_block(begin, end, thread, [&](std::int64_t first, std::int64_t count, float* const* at) {
      const NormBackwardRows block{at[0],        at[1], weight,    mean + first,
                                   rstd + first, at[2], op.hidden, op.accumulate_d_x};
      kernel.loops.norm.layer_norm_backward(block, sums, sums + op.hidden, 0, count);
    });
  });
  add_partials(kernel, partial, chunks, cols, op.d_weight, op.accumulate);
  add_partials(kernel, partial + op.hidden, chunks, cols, op.d_bias, op.accumulate);
}

void run(const RmsNormBackward& op, Kernel& kernel) {
  const FloatRows rows(kernel, op.hidden,
                       {{op.d_out, Access::kRead},
                        {op.x, Access::kRead},
                        {op.d_x, op.accumulate_d_x ? Access::kUpdate : Access::kWrite}});
  const float *weight = as_floats(kernel, op.weight), *rstd = kernel.data(op.rstd);
  const std::int64_t chunks = chunks_of(op.rows);
  float* partial = kernel.lane.scratch.take<float>(chunks * op.hidden);
  for_each_chunk(
      kernel, op.rows, op.hidden, partial, [&](std::int64_t begin, std::int64_t end, int thread, float* sums) {
        rows.for_each_block(begin, end, thread, [&](std::int64_t first, std::int64_t count, float* const* at) {
          const NormBackwardRows block{at[0],        at[1], weight,    nullptr,
                                       rstd + first, at[2], op.hidden, op.accumulate_d_x};
          kernel.loops.norm.rms_norm_backward(block, sums, 0, count);
        });
      });
  add_partials(kernel, partial, chunks, op.hidden, op.d_weight, op.accumulate);
}

void run(const BiasGradient& op, Kernel& kernel) {
  const FloatRows rows(kernel, op.cols, {{op.d_out, Access::kRead}});
  const std::int64_t chunks = chunks_of(op.rows);
  float* partial = kernel.lane.scratch.take<float>(chunks * op.cols);
  for_each_chunk(kernel, op.rows, op.cols, partial, [&](std::int64_t begin, std::int64_t end, int thread, float* sums) {
    rows.for_each_block(begin, end, thread, [&](std::int64_t, std::int64_t count, float* const* at) {
      kernel.loops.reduce.add_rows(at[0], count, op.cols, sums);
    });
  });
  add_partials(kernel, partial, chunks, op.cols, op.d_bias, op.accumulate);
}

}  // namespace shardscope
