// The wrong programs.
#include "tests/cudasim/programs/programs.h"

namespace programs {
namespace {

/// Turns each block's 256 elements around, through shared memory; with the fault that was asked for.
template <Fault kFault>
__global__ void planted_kernel(float* out, const float* in, int n) {
  __shared__ float turned[256];
  const int i = threadIdx.x, at = blockIdx.x * 256 + i;
  if (kFault == Fault::kReadNeverWritten) {
    out[at] = in[at];  // the caller left `in` as it was allocated
    return;
  }
  if (kFault == Fault::kMisaligned) {
    reinterpret_cast<float2*>(out + 1)[i] = make_float2(1.f, 2.f);
    return;
  }
  if (kFault == Fault::kUnorderedSum) {
    out[0] += in[at];
    return;
  }
  if (kFault == Fault::kShuffleInBranch) {
    float v = in[at];
    if (i % 32 < 16) v = __shfl_xor_sync(0xffffffffu, v, 16);
    out[at] = v;
    return;
  }
  if (kFault == Fault::kNoSyncWarp) {
    if (i >= 32) return;
    turned[i] = in[at];
    out[at] = turned[31 - i];
    return;
  }
  turned[kFault == Fault::kSharedPastEnd ? i + 1 : i] = in[at];
  if (kFault == Fault::kBarrierInBranch) {
    if (i < 100) __syncthreads();  // and lanes of warp 3 wait for each other at two places
    out[at] = __shfl_sync(0xffffffffu, in[at], 0);
    return;
  } else if (kFault != Fault::kNoSyncThreads) {
    __syncthreads();
  }
  if (kFault == Fault::kSharedNeverWritten) {
    __shared__ float never[256];
    out[at] = never[i];
    return;
  }
  out[kFault == Fault::kWritePastEnd ? at + 1 : at] = turned[255 - i];
}

__global__ void nothing_kernel() {}

template <Fault kFault>
void launch(float* out, const float* in, int n, cudaStream_t stream) {
  planted_kernel<kFault><<<n / 256, 256, 0, stream>>>(out, in, n);
}

}  // namespace

void planted(Fault fault, float* out, const float* in, int n, cudaStream_t stream) {
  switch (fault) {
    case Fault::kNone: return launch<Fault::kNone>(out, in, n, stream);
    case Fault::kNoSyncThreads: return launch<Fault::kNoSyncThreads>(out, in, n, stream);
    case Fault::kWritePastEnd: return launch<Fault::kWritePastEnd>(out, in, n, stream);
    case Fault::kSharedPastEnd: return launch<Fault::kSharedPastEnd>(out, in, n, stream);
    case Fault::kReadNeverWritten: return launch<Fault::kReadNeverWritten>(out, in, n, stream);
    case Fault::kSharedNeverWritten: return launch<Fault::kSharedNeverWritten>(out, in, n, stream);
    case Fault::kMisaligned: return launch<Fault::kMisaligned>(out, in, n, stream);
    case Fault::kUnorderedSum: return launch<Fault::kUnorderedSum>(out, in, n, stream);
    case Fault::kShuffleInBranch: return launch<Fault::kShuffleInBranch>(out, in, n, stream);
    case Fault::kBarrierInBranch: return launch<Fault::kBarrierInBranch>(out, in, n, stream);
    case Fault::kNullPointer: return launch<Fault::kNullPointer>(out, in, n, stream);
    case Fault::kNoSyncWarp: return launch<Fault::kNoSyncWarp>(out, in, n, stream);
  }
}

cudaError_t block_of_2048_threads() {
  nothing_kernel<<<1, 2048>>>();
  return cudaGetLastError();
}

}  // namespace programs
