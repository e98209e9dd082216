#include "kernels/cpu/kernel.h"

#include <cmath>

#include "core/check.h"

namespace shardscope {

void run(const Activation& op, Kernel& kernel) {
  SS_CHECK(op.x.count == op.out.count, op.x.count, op.out.count);
  const auto loop = kernel.loops.activation.forward[static_cast<int>(op.kind)];
  const float* x = kernel.data(op.x);
  float* out = kernel.data(op.out);
  parallel_for(kernel, op.x.count, kElementGrain,
               [&](std::int64_t begin, std::int64_t end, int) { loop(x + begin, out + begin, end - begin); });
}

void run(const ActivationBackward& op, Kernel& kernel) {
  SS_CHECK(op.x.count == op.d_x.count && op.d_out.count == op.d_x.count, op.x.count, op.d_out.count, op.d_x.count);
  const auto loop = kernel.loops.activation.backward[static_cast<int>(op.kind)];
  const float *x = kernel.data(op.x), *d_out = kernel.data(op.d_out);
  float* d_x = kernel.data(op.d_x);
  parallel_for(kernel, op.x.count, kElementGrain, [&](std::int64_t begin, std::int64_t end, int) {
    loop(x + begin, d_out + begin, d_x + begin, end - begin);
  });
}

void run(const SwiGlu& op, Kernel& kernel) {
  SS_CHECK(op.gate.count == op.out.count && op.up.count == op.out.count, op.gate.count, op.up.count, op.out.count);
  const float *gate = kernel.data(op.gate), *up = kernel.data(op.up);
  float* out = kernel.data(op.out);
  parallel_for(kernel, op.out.count, kElementGrain, [&](std::int64_t begin, std::int64_t end, int) {
    kernel.loops.activation.swiglu(gate + begin, up + begin, out + begin, end - begin);
  });
}

void run(const SwiGluBackward& op, Kernel& kernel) {
  const float *gate = kernel.data(op.gate), *up = kernel.data(op.up), *d_out = kernel.data(op.d_out);
  float *d_gate = kernel.data(op.d_gate), *d_up = kernel.data(op.d_up);
  parallel_for(kernel, op.d_out.count, kElementGrain, [&](std::int64_t begin, std::int64_t end, int) {
    kernel.loops.activation.swiglu_backward(gate + begin, up + begin, d_out + begin, d_gate + begin, d_up + begin,
                                            end - begin);
  });
}

namespace {

/// Angles in double: position * theta^(-2i/d) loses its fraction in single precision at long sequences.
const RopeTable& rope_table(const Rope& op, LaneState& lane) {
  auto [entry, is_new] = lane.rope_tables.try_emplace({op.seq, op.head_dim, op.theta, op.part.start, op.part.jump});
  if (is_new) {
    const std::int64_t half = op.head_dim / 2;
    for (std::int64_t row = 0; row < op.seq; ++row) {
      for (std::int64_t i = 0; i < half; ++i) {
        const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(op.head_dim);
        const double angle = static_cast<double>(op.part.position(row, op.seq)) * std::pow(op.theta, exponent);
        entry->second.cos.push_back(static_cast<float>(std::cos(angle)));
        entry->second.sin.push_back(static_cast<float>(std::sin(angle)));
      }
    }
  }
  return entry->second;
}

}  // namespace

void run(const Rope& op, Kernel& kernel) {
  SS_CHECK(op.head_dim % 2 == 0 && op.seq > 0, op.head_dim, op.seq);
  const RopeTable& table = rope_table(op, kernel.lane);
  const std::int64_t half = op.head_dim / 2;
  float* x = kernel.data(op.x);
  const std::int64_t grain = 1 + kElementGrain / (op.heads * op.head_dim);
  parallel_for(kernel, op.rows, grain, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t at = row % op.seq * half;
      for (std::int64_t head = 0; head < op.heads; ++head) {
        kernel.loops.activation.rotate(x + (row * op.heads + head) * op.head_dim, table.cos.data() + at,
                                       table.sin.data() + at, op.inverse ? -1.0f : 1.0f, half);
      }
    }
  });
}

}  // namespace shardscope
