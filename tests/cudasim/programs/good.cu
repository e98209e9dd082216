// The right programs: what our own kernels are made of.
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include "tests/cudasim/programs/programs.h"

namespace programs {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kFull = 0xffffffffu;

__device__ float warp_sum(float v) {
  for (int o = 16; o > 0; o >>= 1) v += __shfl_xor_sync(kFull, v, o);
  return v;
}
__device__ float warp_max(float v) {
  for (int o = 16; o > 0; o >>= 1) v = fmaxf(v, __shfl_xor_sync(kFull, v, o));
  return v;
}
template <bool kMax>
__device__ float block_reduce(float v, float* parts) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  v = kMax ? warp_max(v) : warp_sum(v);
  __syncthreads();  // parts may still be read by an earlier reduction
  if (lane == 0) parts[warp] = v;
  __syncthreads();
  v = lane < kThreads / 32 ? parts[lane] : (kMax ? -INFINITY : 0.f);
  return kMax ? warp_max(v) : warp_sum(v);
}

__global__ void scale_kernel(float* x, float by, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] *= by;
}

__global__ void layer_norm_kernel(float* y, const float* __restrict__ x, const float* __restrict__ gain,
                                  const float* __restrict__ bias, int columns) {
  __shared__ float parts[kThreads / 32];
  const float* row = x + static_cast<long>(blockIdx.x) * columns;
  float sum = 0.f, squares = 0.f;
  for (int i = threadIdx.x; i < columns; i += kThreads) sum += row[i];
  const float mean = block_reduce<false>(sum, parts) / columns;
  for (int i = threadIdx.x; i < columns; i += kThreads) squares += (row[i] - mean) * (row[i] - mean);
  const float scale = rsqrtf(block_reduce<false>(squares, parts) / columns + 1e-5f);
  for (int i = threadIdx.x; i < columns; i += kThreads) {
    y[static_cast<long>(blockIdx.x) * columns + i] = (row[i] - mean) * scale * gain[i] + bias[i];
  }
}

struct AdamArguments {
  float lr, beta1, beta2, epsilon, decay, correct1, correct2;
};
__global__ void adam_kernel(float4* p, __nv_bfloat162* narrow, const __nv_bfloat162* g, float4* m, float4* v, int fours,
                            AdamArguments a) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < fours; i += gridDim.x * blockDim.x) {
    float4 pp = p[i], mm = m[i], vv = v[i];
    const float2 low = __bfloat1622float2(g[2 * i]), high = __bfloat1622float2(g[2 * i + 1]);
    const auto step = [&](float& p1, float& m1, float& v1, float g1) {
      m1 = a.beta1 * m1 + (1.f - a.beta1) * g1;
      v1 = a.beta2 * v1 + (1.f - a.beta2) * g1 * g1;
      p1 -= a.lr * (m1 * a.correct1 / (sqrtf(v1 * a.correct2) + a.epsilon) + a.decay * p1);
    };
    step(pp.x, mm.x, vv.x, low.x);
    step(pp.y, mm.y, vv.y, low.y);
    step(pp.z, mm.z, vv.z, high.x);
    step(pp.w, mm.w, vv.w, high.y);
    p[i] = pp;
    m[i] = mm;
    v[i] = vv;
    narrow[2 * i] = __floats2bfloat162_rn(pp.x, pp.y);
    narrow[2 * i + 1] = __floats2bfloat162_rn(pp.z, pp.w);
  }
}

__global__ void softmax_loss_kernel(float* loss, float* gradient, const float* __restrict__ logits,
                                    const int* __restrict__ targets, int columns) {
  __shared__ float parts[kThreads / 32];
  const long row = blockIdx.x;
  const float* r = logits + row * columns;
  float largest = -INFINITY, sum = 0.f;
  for (int i = threadIdx.x; i < columns; i += kThreads) {
    const float next = fmaxf(largest, r[i]);
    sum = sum * expf(largest - next) + expf(r[i] - next);
    largest = next;
  }
  const float top = block_reduce<true>(largest, parts);
  const float total = block_reduce<false>(largest == -INFINITY ? 0.f : sum * expf(largest - top), parts);
  const int target = targets[row];
  if (threadIdx.x == 0) loss[row] = logf(total) + top - r[target];
  for (int i = threadIdx.x; i < columns; i += kThreads) {
    gradient[row * columns + i] = expf(r[i] - top) / total - (i == target ? 1.f : 0.f);
  }
}

/// A barrier of the whole grid by hand: partial sums, then block 0 adds them.
__global__ void cooperative_sum_kernel(float* out, float* partial, unsigned* arrived, const float* x, int n) {
  __shared__ float parts[kThreads / 32];
  float sum = 0.f;
  for (int i = blockIdx.x * kThreads + threadIdx.x; i < n; i += kThreads * gridDim.x) sum += x[i];
  sum = block_reduce<false>(sum, parts);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = sum;
    __threadfence();
    atomicAdd(arrived, 1u);
    while (*reinterpret_cast<volatile unsigned*>(arrived) < gridDim.x) __nanosleep(20);
    __threadfence();
  }
  __syncthreads();
  if (blockIdx.x != 0) return;
  float total = 0.f;
  for (int i = threadIdx.x; i < static_cast<int>(gridDim.x); i += kThreads) total += reinterpret_cast<volatile float*>(partial)[i];
  total = block_reduce<false>(total, parts);
  if (threadIdx.x == 0) *out = total;
}

template <bool kFences>
__global__ void last_block_sum_kernel(float* out, float* partial, unsigned* arrived, const float* x, int n) {
  __shared__ float parts[kThreads / 32];
  __shared__ bool last;
  float sum = 0.f;
  for (int i = blockIdx.x * kThreads + threadIdx.x; i < n; i += kThreads * gridDim.x) sum += x[i];
  sum = block_reduce<false>(sum, parts);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = sum;
    if (kFences) __threadfence();
    last = atomicAdd(arrived, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (!last) return;
  float total = 0.f;
  for (int i = threadIdx.x; i < static_cast<int>(gridDim.x); i += kThreads) total += partial[i];
  total = block_reduce<false>(total, parts);
  if (threadIdx.x == 0) *out = total;
}

__global__ void math_kernel(float* out, const float* in) {
  const float x = in[threadIdx.x];
  const float results[kMathFunctions] = {tanhf(x),        erff(x),    expf(x),         logf(x),   sinf(x),          powf(x, 1.5f),
                                         log1pf(x),       rsqrtf(x),  fmodf(x, .3f),   cbrtf(x),  cosf(x * 1e5f),   truncf(x * 7),
                                         __expf(x),       x / 3.7f,   static_cast<float>(exp(static_cast<double>(x))),
                                         static_cast<float>(__float2int_rn(x * 100))};
  for (int k = 0; k < kMathFunctions; ++k) out[k * 256 + threadIdx.x] = results[k];
}

__global__ void narrow_kernel(float* to, const float* x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  to[i] = static_cast<float>(__nv_fp8_e4m3(x[i]));
  to[n + i] = __half2float(__float2half_rn(x[i]));
  to[2 * n + i] = __bfloat162float(__float2bfloat16_rn(x[i]));
}

__device__ int calls = 100;
__global__ void count_kernel() { atomicAdd(&calls, 1); }

}  // namespace

void scale(float* x, float by, int n, cudaStream_t stream) { scale_kernel<<<(n + 255) / 256, 256, 0, stream>>>(x, by, n); }
void layer_norm(float* y, const float* x, const float* gain, const float* bias, int rows, int columns, cudaStream_t stream) {
  layer_norm_kernel<<<rows, kThreads, 0, stream>>>(y, x, gain, bias, columns);
}
void adam(float* p, __nv_bfloat16* narrow, const __nv_bfloat16* g, float* m, float* v, int n, int step, cudaStream_t stream) {
  const AdamArguments a{1e-3f, .9f, .999f, 1e-8f, .1f, 1.f / (1.f - powf(.9f, step)), 1.f / (1.f - powf(.999f, step))};
  adam_kernel<<<8, 256, 0, stream>>>(reinterpret_cast<float4*>(p), reinterpret_cast<__nv_bfloat162*>(narrow),
                                     reinterpret_cast<const __nv_bfloat162*>(g), reinterpret_cast<float4*>(m),
                                     reinterpret_cast<float4*>(v), n / 4, a);
}
void softmax_loss(float* loss, float* gradient, const float* logits, const int* targets, int rows, int columns, cudaStream_t stream) {
  softmax_loss_kernel<<<rows, kThreads, 0, stream>>>(loss, gradient, logits, targets, columns);
}
void cooperative_sum(float* out, float* partial, unsigned* arrived, const float* x, int n, int blocks, cudaStream_t stream) {
  cudaMemsetAsync(arrived, 0, sizeof *arrived, stream);
  void* arguments[] = {&out, &partial, &arrived, &x, &n};
  cudaLaunchCooperativeKernel(cooperative_sum_kernel, blocks, kThreads, arguments, 0, stream);
}
void last_block_sum(float* out, float* partial, unsigned* arrived, const float* x, int n, int blocks, bool fences) {
  cudaMemsetAsync(arrived, 0, sizeof *arrived, nullptr);
  if (fences) {
    last_block_sum_kernel<true><<<blocks, kThreads>>>(out, partial, arrived, x, n);
  } else {
    last_block_sum_kernel<false><<<blocks, kThreads>>>(out, partial, arrived, x, n);
  }
}
void math(float* out, const float* x) { math_kernel<<<1, 256>>>(out, x); }
void narrow(float* to, const float* x, int n) { narrow_kernel<<<(n + 255) / 256, 256>>>(to, x, n); }
int count_calls(int times, cudaStream_t stream) {
  for (int i = 0; i < times; ++i) count_kernel<<<1, 32, 0, stream>>>();
  int out = 0;
  cudaStreamSynchronize(stream);
  cudaMemcpyFromSymbol(&out, calls, sizeof out);
  return out;
}

}  // namespace programs
