// Matrix products, by oneDNN's sgemm: on row-major matrices of any transposition it is as fast as oneDNN's matmul
// primitive or faster, needs no object per shape, and gives the same bits at any address (measured: matmul_test.cpp).
#include <oneapi/dnnl/dnnl.h>

#include <cstring>
#include <string>

#include "core/error.h"
#include "kernels/cpu/kernel.h"

namespace shardscope {
namespace {

void spread_bias(const MatMul& op, Kernel& kernel) {
  const float* bias = kernel.data(op.bias);
  float* c = kernel.data(op.c);
  const auto bytes = static_cast<std::size_t>(op.n) * sizeof(float);
  parallel_for(kernel, op.m, 1 + kElementGrain / op.n, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) std::memcpy(c + row * op.n, bias, bytes);
  });
}

}  // namespace

void run(const MatMul& op, Kernel& kernel) {
  if (!op.bias.empty()) spread_bias(op, kernel);
  const bool add = op.accumulate || !op.bias.empty();
  const dnnl_status_t status = dnnl_sgemm(op.trans_a ? 'T' : 'N', op.trans_b ? 'T' : 'N', op.m, op.n, op.k, 1.0f,
                                          kernel.data(op.a), op.trans_a ? op.m : op.k, kernel.data(op.b),
                                          op.trans_b ? op.k : op.n, add ? 1.0f : 0.0f, kernel.data(op.c), op.n);
  if (status != dnnl_success) {
    throw Error(ErrorKind::kDevice, "matmul: oneDNN returned status " + std::to_string(static_cast<int>(status)));
  }
}

}  // namespace shardscope
