#pragma once
// Small CUDA programs that nvcc builds and the emulation must run right, or must find the planted fault of. What they
// take lies in device memory unless it says otherwise.

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace programs {

// Right ones.
void scale(float* x, float by, int n, cudaStream_t stream);
void layer_norm(float* y, const float* x, const float* gain, const float* bias, int rows, int columns,
                cudaStream_t stream);
void adam(float* p, __nv_bfloat16* narrow, const __nv_bfloat16* g, float* m, float* v, int n, int step,
          cudaStream_t stream);
void softmax_loss(float* loss, float* gradient, const float* logits, const int* targets, int rows, int columns,
                  cudaStream_t stream);
void cooperative_sum(float* out, float* partial, unsigned* arrived, const float* x, int n, int blocks,
                     cudaStream_t stream);
/// The block that comes last adds up what all have written. Without `fences` it may read what was there before.
void last_block_sum(float* out, float* partial, unsigned* arrived, const float* x, int n, int blocks, bool fences);
/// C[m, n] = A[m, k] B[n, k]^T on tensor cores, m a multiple of 16, n of 8, k of 16. Without `waits` it forgets to wait
/// for its asynchronous copies.
void tensor_gemm(float* c, const __nv_bfloat16* a, const __nv_bfloat16* b, int m, int n, int k, bool waits);
/// Foreign code: CUB and cooperative groups, 256 threads (sort: 512 keys).
void cub_sum(float* out, const float* x);
void cub_scan(int* out, const int* x);
void cub_sort(unsigned* keys);
void group_sum(float* out, const float* x);
/// CUDA's mathematical functions, kMathFunctions times 256 results.
inline constexpr int kMathFunctions = 16;
void math(float* out, const float* x);
/// to[i] = the float8 (E4M3) nearest x[i], back as a float; then the float16, then the bfloat16.
void narrow(float* to, const float* x, int n);
/// A counter in a __device__ variable.
int count_calls(int times, cudaStream_t stream);

// Wrong ones: each does what its name says. 256 threads a block, n a multiple of 256.
enum class Fault {
  kNone,
  kNoSyncThreads,
  kWritePastEnd,
  kSharedPastEnd,
  kReadNeverWritten,
  kSharedNeverWritten,
  kMisaligned,
  kUnorderedSum,
  kShuffleInBranch,
  kBarrierInBranch,
  kNullPointer,
  kNoSyncWarp,
};
void planted(Fault fault, float* out, const float* in, int n, cudaStream_t stream);
cudaError_t block_of_2048_threads();

}  // namespace programs
