// Tensor cores through inline PTX, and foreign code: CUB and cooperative groups.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>

#include <cub/cub.cuh>

#include "tests/cudasim/programs/programs.h"

namespace programs {
namespace {

__device__ uint32_t shared_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

template <bool kWaits>
__global__ void tensor_gemm_kernel(float* c, const __nv_bfloat16* a, const __nv_bfloat16* b, int n, int k) {
  __shared__ __align__(16) __nv_bfloat16 as[16][16], bs[8][16];
  const int l = threadIdx.x;
  float sums[4] = {0, 0, 0, 0};
  for (int k0 = 0; k0 < k; k0 += 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(&as[l / 2][(l & 1) * 8])),
                 "l"(a + (blockIdx.y * 16 + l / 2) * static_cast<long>(k) + k0 + (l & 1) * 8));
    if (l < 16) {
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(&bs[l / 2][(l & 1) * 8])),
                   "l"(b + (blockIdx.x * 8 + l / 2) * static_cast<long>(k) + k0 + (l & 1) * 8));
    }
    asm volatile("cp.async.commit_group;");
    if (kWaits) asm volatile("cp.async.wait_group 0;");
    __syncwarp();
    uint32_t x[4], y[2];
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(shared_address(&as[l % 16][(l / 16) * 8])));
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(y[0]), "=r"(y[1])
                 : "r"(shared_address(&bs[l % 8][((l / 8) & 1) * 8])));
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
    __syncwarp();
  }
  float* tile = c + blockIdx.y * 16L * n + blockIdx.x * 8;
  for (int q = 0; q < 4; ++q) tile[(l / 4 + 8 * (q / 2)) * n + 2 * (l % 4) + q % 2] = sums[q];
}

__global__ void cub_sum_kernel(float* out, const float* x) {
  using Reduce = cub::BlockReduce<float, 256>;
  __shared__ typename Reduce::TempStorage storage;
  const float sum = Reduce(storage).Sum(x[threadIdx.x]);
  if (threadIdx.x == 0) *out = sum;
}
__global__ void cub_scan_kernel(int* out, const int* x) {
  using Scan = cub::BlockScan<int, 256>;
  __shared__ typename Scan::TempStorage storage;
  int value = x[threadIdx.x];
  Scan(storage).ExclusiveSum(value, value);
  out[threadIdx.x] = value;
}
__global__ void cub_sort_kernel(unsigned* keys) {
  using Sort = cub::BlockRadixSort<unsigned, 128, 4>;
  __shared__ typename Sort::TempStorage storage;
  unsigned mine[4];
  for (int i = 0; i < 4; ++i) mine[i] = keys[threadIdx.x * 4 + i];
  Sort(storage).Sort(mine);
  for (int i = 0; i < 4; ++i) keys[threadIdx.x * 4 + i] = mine[i];
}
__global__ void group_sum_kernel(float* out, const float* x) {
  namespace cg = cooperative_groups;
  const auto warp = cg::tiled_partition<32>(cg::this_thread_block());
  const float sum = cg::reduce(warp, x[threadIdx.x], cg::plus<float>());
  if (warp.thread_rank() == 0) atomicAdd(out, sum);
}

}  // namespace

void tensor_gemm(float* c, const __nv_bfloat16* a, const __nv_bfloat16* b, int m, int n, int k, bool waits) {
  const dim3 grid(n / 8, m / 16);
  if (waits) {
    tensor_gemm_kernel<true><<<grid, 32>>>(c, a, b, n, k);
  } else {
    tensor_gemm_kernel<false><<<grid, 32>>>(c, a, b, n, k);
  }
}
void cub_sum(float* out, const float* x) { cub_sum_kernel<<<1, 256>>>(out, x); }
void cub_scan(int* out, const int* x) { cub_scan_kernel<<<1, 256>>>(out, x); }
void cub_sort(unsigned* keys) { cub_sort_kernel<<<1, 128>>>(keys); }
void group_sum(float* out, const float* x) { group_sum_kernel<<<1, 256>>>(out, x); }

}  // namespace programs
