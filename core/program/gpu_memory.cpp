#include "core/program/gpu_memory.h"

#include <algorithm>
#include <array>

namespace shardscope {
namespace {

/// Whether rows of so many 16-bit elements shut out vectors.
bool is_odd(const Program& program, const Region& region, std::int64_t cols) {
  return size_of(program.buffer(region.buffer).dtype) == 2 && cols % 8 != 0;
}

/// What the product moves at most of its operands, or casts to a byte per element.
std::int64_t moved_bytes(const Program& program, const MatMul& op) {
  const std::int64_t m = op.m, n = op.n, k = op.k;
  if (op.in_fp8()) {
    const bool moves_c = program.part_bytes(op.c, op.c.offset) % 16 != 0;
    return m * k + k * n + (moves_c ? program.bytes(op.c) : 0) + kBesideFp8Casts;
  }
  const bool a = is_odd(program, op.a, op.trans_a ? m : k), b = is_odd(program, op.b, op.trans_b ? k : n);
  const bool c = is_odd(program, op.c, n);
  return std::min(2 * (m * k * a + m * n * c), kMostMovedForProduct) + 2 * k * n * b;
}

}  // namespace

std::int64_t gpu_memory_beside(const Program& program) {
  std::array<std::int64_t, kLanes> moved{};
  std::array<bool, kLanes> multiplies{};
  for (const Instruction& instruction : program.instructions) {
    const auto* product = std::get_if<MatMul>(&instruction.op);
    const bool is_int8 = std::holds_alternative<MatMulInt8>(instruction.op);
    if (product == nullptr && !is_int8) continue;
    const auto lane = static_cast<std::size_t>(instruction.lane);
    multiplies[lane] = true;
    if (product != nullptr) moved[lane] = std::max(moved[lane], moved_bytes(program, *product));
  }
  std::int64_t bytes = 0;
  for (std::size_t lane = 0; lane < kLanes; ++lane) bytes += moved[lane] + (multiplies[lane] ? kBlasWorkspace : 0);
  return bytes;
}

}  // namespace shardscope
