// A program that knows nothing of us and steps on a device, real or emulated: cuda_check STEPS [PAUSE]. In each step
// four kernels, a memset and a copy; NVTX ranges "step 0", "step 1", ...; after step PAUSE a second of nothing.
#include <cuda_runtime.h>
#include <nvtx3/nvToolsExt.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

constexpr int kElements = 256;

__global__ void scale(float* x, int n, float factor) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] = x[i] * factor + 1.0f;
}

bool good(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return true;
  std::printf("%s: %s\n", what, cudaGetErrorString(error));
  return false;
}

bool step(float* x, int number) {
  float first = 0;
  nvtxRangePushA(("step " + std::to_string(number)).c_str());
  bool fine = good(cudaMemsetAsync(x, 0, kElements * sizeof(float)), "memset");
  for (int i = 0; i < 4; ++i) scale<<<kElements / 64, 64>>>(x, kElements, 0.5f);
  fine = good(cudaGetLastError(), "launch") && fine;
  fine = good(cudaMemcpy(&first, x, sizeof first, cudaMemcpyDeviceToHost), "copy") && fine;
  nvtxRangePop();
  if (first != 1.875f) std::printf("step %d: %g is not 1.875\n", number, static_cast<double>(first));
  return fine && first == 1.875f;
}

}  // namespace

int main(int argc, char** argv) {
  const int steps = argc > 1 ? std::atoi(argv[1]) : 10;
  const int pause = argc > 2 ? std::atoi(argv[2]) : -1;
  float* x = nullptr;
  if (!good(cudaMalloc(&x, kElements * sizeof(float)), "malloc")) return 1;
  bool fine = true;
  for (int i = 0; i < steps; ++i) {
    fine = step(x, i) && fine;
    if (i == pause) usleep(1'000'000);
  }
  cudaFree(x);
  return fine ? 0 : 1;
}
