#include <cstring>

#include "core/check.h"
#include "kernels/cpu/kernel.h"

namespace shardscope {

void run(const Accumulate& op, Kernel& kernel) {
  SS_CHECK(op.src.count == op.dst.count, op.src.count, op.dst.count);
  const float* src = kernel.data(op.src);
  float* dst = kernel.data(op.dst);
  parallel_for(kernel, op.dst.count, kElementGrain, [&](std::int64_t begin, std::int64_t end, int) {
    kernel.loops.elementwise.accumulate(src + begin, dst + begin, end - begin);
  });
}

void run(const Scale& op, Kernel& kernel) {
  float* data = kernel.data(op.data);
  const auto factor = static_cast<float>(op.factor);
  parallel_for(kernel, op.data.count, kElementGrain, [&](std::int64_t begin, std::int64_t end, int) {
    kernel.loops.elementwise.scale(data + begin, factor, end - begin);
  });
}

void run(const Add& op, Kernel& kernel) {
  SS_CHECK(op.a.count == op.out.count && op.b.count == op.out.count, op.a.count, op.b.count, op.out.count);
  const float *a = kernel.data(op.a), *b = kernel.data(op.b);
  float* out = kernel.data(op.out);
  parallel_for(kernel, op.out.count, kElementGrain, [&](std::int64_t begin, std::int64_t end, int) {
    kernel.loops.elementwise.add(a + begin, b + begin, out + begin, end - begin);
  });
}

}  // namespace shardscope
