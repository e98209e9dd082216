#include <cmath>

#include "core/check.h"
#include "kernels/cpu/float_rows.h"

namespace shardscope {

void run(const Activation& op, Kernel& kernel) {
  SS_CHECK(op.x.count == op.out.count, op.x.count, op.out.count);
  const auto loop = kernel.loops.activation.forward[static_cast<int>(op.kind)];
  for_each_float(kernel, op.x.count, {{op.x, Access::kRead}, {op.out, Access::kWrite}},
                 [&](std::int64_t n, float* const* at) { loop(at[0], at[1], n); });
}

void run(const ActivationBackward& op, Kernel& kernel) {
  SS_CHECK(op.x.count == op.d_x.count && op.d_out.count == op.d_x.count, op.x.count, op.d_out.count, op.d_x.count);
  const auto loop = kernel.loops.activation.backward[static_cast<int>(op.kind)];
  for_each_float(kernel, op.x.count, {{op.x, Access::kRead}, {op.d_out, Access::kRead}, {op.d_x, Access::kWrite}},
                 [&](std::int64_t n, float* const* at) { loop(at[0], at[1], at[2], n); });
}

void run(const SwiGlu& op, Kernel& kernel) {
  SS_CHECK(op.gate.count == op.out.count && op.up.count == op.out.count, op.gate.count, op.up.count, op.out.count);
  for_each_float(kernel, op.out.count, {{op.gate, Access::kRead}, {op.up, Access::kRead}, {op.out, Access::kWrite}},
                 [&](std::int64_t n, float* const* at) { kernel.loops.activation.swiglu(at[0], at[1], at[2], n); });
}

void run(const SwiGluBackward& op, Kernel& kernel) {
  for_each_float(kernel, op.d_out.count,
                 {{op.gate, Access::kRead},
                  {op.up, Access::kRead},
                  {op.d_out, Access::kRead},
                  {op.d_gate, Access::kWrite},
                  {op.d_up, Access::kWrite}},
                 [&](std::int64_t n, float* const* at) {
                   kernel.loops.activation.swiglu_backward(at[0], at[1], at[2], at[3], at[4], n);
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
  const FloatRows rows(kernel, op.heads * op.head_dim, {{op.x, Access::kUpdate}});
  const std::int64_t grain = 1 + kElementGrain / (op.heads * op.head_dim);
  rows.for_all(op.rows, grain, [&](std::int64_t first, std::int64_t count, float* const* at) {
    for (std::int64_t i = 0; i < count * op.heads; ++i) {
      const std::int64_t angle = (first + i / op.heads) % op.seq * half;
      kernel.loops.activation.rotate(at[0] + i * op.head_dim, table.cos.data() + angle, table.sin.data() + angle,
                                     op.inverse ? -1.0f : 1.0f, half);
    }
  });
}

}  // namespace shardscope
