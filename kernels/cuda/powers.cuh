#pragma once
// Exponentials by the GPU's own powers of two: e^(v - top) = power_of_two(v * kLog2E - top * kLog2E).

namespace shardscope::cuda {

inline constexpr float kLog2E = 1.44269504f;
/// 2^v, good to 2 units in the last place; results below the normal range become 0.
__device__ inline float power_of_two(float v) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(v));
  return result;
}

}  // namespace shardscope::cuda
