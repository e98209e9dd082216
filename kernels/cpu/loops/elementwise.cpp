// Built without fused multiply-add: an element's bits must not depend on where a region was cut.
#include "kernels/cpu/loops/loops.h"
#include "kernels/cpu/loops/simd.h"

namespace shardscope::SS_ISA {
namespace {

void fill(float* dst, float value, std::int64_t n) {
  for_each_vector(n, [&](auto c) { store(dst, c, splat(value)); });
}
void accumulate(const float* src, float* dst, std::int64_t n) {
  for_each_vector(n, [&](auto c) { store(dst, c, load(dst, c) + load(src, c)); });
}
void scale(float* data, float factor, std::int64_t n) {
  for_each_vector(n, [&](auto c) { store(data, c, load(data, c) * factor); });
}
void add(const float* a, const float* b, float* out, std::int64_t n) {
  for_each_vector(n, [&](auto c) { store(out, c, load(a, c) + load(b, c)); });
}
void add_scaled(const float* src, float factor, float* dst, std::int64_t n) {
  for_each_vector(n, [&](auto c) { store(dst, c, load(dst, c) + load(src, c) * factor); });
}

}  // namespace

extern const ElementwiseLoops elementwise_loops;
const ElementwiseLoops elementwise_loops = {fill, accumulate, scale, add, add_scaled};

}  // namespace shardscope::SS_ISA
