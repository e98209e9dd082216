#include "core/check.h"
#include "kernels/cpu/float_rows.h"

namespace shardscope {

void run(const Accumulate& op, Kernel& kernel) {
  SS_CHECK(op.src.count == op.dst.count, op.src.count, op.dst.count);
  for_each_float(kernel, op.dst.count, {{op.src, Access::kRead}, {op.dst, Access::kUpdate}},
                 [&](std::int64_t n, float* const* at) { kernel.loops.elementwise.accumulate(at[0], at[1], n); });
}

void run(const Scale& op, Kernel& kernel) {
  const auto factor = static_cast<float>(op.factor);
  for_each_float(kernel, op.data.count, {{op.data, Access::kUpdate}},
                 [&](std::int64_t n, float* const* at) { kernel.loops.elementwise.scale(at[0], factor, n); });
}

void run(const Add& op, Kernel& kernel) {
  SS_CHECK(op.a.count == op.out.count && op.b.count == op.out.count, op.a.count, op.b.count, op.out.count);
  for_each_float(kernel, op.out.count, {{op.a, Access::kRead}, {op.b, Access::kRead}, {op.out, Access::kWrite}},
                 [&](std::int64_t n, float* const* at) { kernel.loops.elementwise.add(at[0], at[1], at[2], n); });
}

}  // namespace shardscope
