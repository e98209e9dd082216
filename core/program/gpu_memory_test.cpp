#include "core/program/gpu_memory.h"

#include <gtest/gtest.h>

namespace shardscope {
namespace {

Region add(Program& program, std::int64_t elements, DType dtype) {
  return program.whole(
      program.add_buffer({.name = std::to_string(program.buffers.size()), .dtype = dtype, .elements = elements}));
}

/// A product of x [m,k] with weights [n,k], as a head multiplies.
void add_head(Program& program, std::int64_t m, std::int64_t n, std::int64_t k, DType dtype, Lane lane) {
  const MatMul op{.a = add(program, m * k, dtype),
                  .b = add(program, n * k, dtype),
                  .c = add(program, m * n, dtype),
                  .m = m,
                  .n = n,
                  .k = k,
                  .trans_b = true};
  program.instructions.push_back({.op = op, .lane = lane, .label = {}, .after = {}});
}

TEST(GpuMemory, OddRowsOf16BitsAreCopiedAndThatIsBounded) {
  Program program;
  EXPECT_EQ(gpu_memory_beside(program), 0);
  add_head(program, 64, 56, 32, DType::kBF16, Lane::kCompute);
  EXPECT_EQ(gpu_memory_beside(program), kBlasWorkspace);
  add_head(program, 64, 57, 32, DType::kF32, Lane::kCompute);
  EXPECT_EQ(gpu_memory_beside(program), kBlasWorkspace);
  add_head(program, 64, 57, 32, DType::kBF16, Lane::kCompute);
  EXPECT_EQ(gpu_memory_beside(program), kBlasWorkspace + 2 * 64 * 57);
  add_head(program, 16384, 50257, 768, DType::kBF16, Lane::kReduce);
  EXPECT_EQ(gpu_memory_beside(program), 2 * kBlasWorkspace + 2 * 64 * 57 + kMostMovedForProduct);
}

TEST(GpuMemory, OperandsInFp8TakeAByteAnElement) {
  Program program;
  add_head(program, 64, 48, 32, DType::kBF16, Lane::kCompute);
  auto& op = std::get<MatMul>(program.instructions[0].op);
  op.cast_a = op.cast_b = Fp8::kE4M3;
  EXPECT_EQ(gpu_memory_beside(program), kBlasWorkspace + 64 * 32 + 32 * 48 + kBesideFp8Casts);
  op.c = {op.c.buffer, 1, op.c.count};
  EXPECT_EQ(gpu_memory_beside(program), kBlasWorkspace + 64 * 32 + 32 * 48 + 2 * 64 * 48 + kBesideFp8Casts);
}

}  // namespace
}  // namespace shardscope
