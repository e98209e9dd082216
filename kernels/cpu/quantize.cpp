#include <algorithm>

#include "kernels/cpu/float_rows.h"

namespace shardscope {
namespace {

/// The groups of all slices, in order: f(group number, first element, elements).
template <class Op, class F>
void for_each_group(const Op& op, std::int64_t first_group, std::int64_t end_group, F&& f) {
  const std::int64_t per_slice = (op.slice + op.group - 1) / op.group;
  for (std::int64_t g = first_group; g < end_group; ++g) {
    const std::int64_t inside = g % per_slice * op.group, begin = g / per_slice * op.slice + inside;
    f(g, begin, std::min(op.group, op.slice - inside));
  }
}

}  // namespace

void run(const Quantize& op, Kernel& kernel) {
  const QuantizeLoops& loops = kernel.loops.quantize;
  const Elements src = elements_of(kernel, op.src);
  float* scales = kernel.data(op.scales);
  auto* q = kernel.data<std::int8_t>(op.q);
  const float top = op.bits == 4 ? 7.0f : 127.0f;
  float* buffers = kernel.lane.scratch.take<float>(op.group * kernel.threads);
  const std::int64_t grain = 1 + kElementGrain / op.group;
  parallel_for(kernel, op.scales.count, grain, [&](std::int64_t begin, std::int64_t end, int thread) {
    for_each_group(op, begin, end, [&](std::int64_t group, std::int64_t first, std::int64_t n) {
      const float* x = floats_at(kernel, src, first, n, buffers + thread * op.group);
      const float scale = loops.largest(x, n) / top;
      scales[group] = scale;
      const float inverse = scale > 0 ? 1 / scale : 0.0f;
      op.bits == 4 ? loops.to_4(x, inverse, q + first / 2, n) : loops.to_8(x, inverse, q + first, n);
    });
  });
}

/// Threads take groups of the output; each adds its parts in order, and rounds once.
void run(const Dequantize& op, Kernel& kernel) {
  const QuantizeLoops& loops = kernel.loops.quantize;
  const auto* q = kernel.data<std::int8_t>(op.q);
  const float* scales = kernel.data(op.scales);
  const Elements out = elements_of(kernel, op.out);
  const std::int64_t n_out = op.out.count, groups = op.scales.count / op.parts;
  float* buffers = kernel.lane.scratch.take<float>(op.group * kernel.threads);
  const std::int64_t grain = 1 + kElementGrain / op.group;
  parallel_for(kernel, groups, grain, [&](std::int64_t begin, std::int64_t end, int thread) {
    for_each_group(op, begin, end, [&](std::int64_t group, std::int64_t first, std::int64_t n) {
      float* sum = buffers + thread * op.group;
      for (std::int64_t part = 0; part < op.parts; ++part) {
        const float scale = scales[part * groups + group];
        const std::int64_t at = part * n_out + first;
        op.bits == 4 ? loops.from_4(q + at / 2, scale, sum, n, part > 0)
                     : loops.from_8(q + at, scale, sum, n, part > 0);
      }
      narrow(kernel, sum, out, first, n);
    });
  });
}

}  // namespace shardscope
