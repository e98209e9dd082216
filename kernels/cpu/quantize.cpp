#include <algorithm>

#include "kernels/cpu/kernel.h"

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
  const float* src = kernel.data(op.src);
  float* scales = kernel.data(op.scales);
  auto* q = kernel.data<std::int8_t>(op.q);
  const float top = op.bits == 4 ? 7.0f : 127.0f;
  parallel_for(kernel, op.scales.count, 1 + kElementGrain / op.group, [&](std::int64_t begin, std::int64_t end, int) {
    for_each_group(op, begin, end, [&](std::int64_t group, std::int64_t first, std::int64_t n) {
      const float scale = loops.largest(src + first, n) / top;
      scales[group] = scale;
      const float inverse = scale > 0 ? 1 / scale : 0.0f;
      op.bits == 4 ? loops.to_4(src + first, inverse, q + first / 2, n)
                   : loops.to_8(src + first, inverse, q + first, n);
    });
  });
}

/// Threads take groups of the output; each adds its parts in order.
void run(const Dequantize& op, Kernel& kernel) {
  const QuantizeLoops& loops = kernel.loops.quantize;
  const auto* q = kernel.data<std::int8_t>(op.q);
  const float* scales = kernel.data(op.scales);
  float* out = kernel.data(op.out);
  const std::int64_t n_out = op.out.count, groups = op.scales.count / op.parts;
  parallel_for(kernel, groups, 1 + kElementGrain / op.group, [&](std::int64_t begin, std::int64_t end, int) {
    for_each_group(op, begin, end, [&](std::int64_t group, std::int64_t first, std::int64_t n) {
      for (std::int64_t part = 0; part < op.parts; ++part) {
        const float scale = scales[part * groups + group];
        const std::int64_t at = part * n_out + first;
        op.bits == 4 ? loops.from_4(q + at / 2, scale, out + first, n, part > 0)
                     : loops.from_8(q + at, scale, out + first, n, part > 0);
      }
    });
  });
}

}  // namespace shardscope
