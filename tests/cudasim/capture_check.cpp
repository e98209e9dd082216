// A program to be recorded: two ranks as threads, each with a device; five steps of a copy in, two kernels, an
// all-reduce and a copy out. It knows nothing of the recording.

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <thread>
#include <vector>

#include "tests/cudasim/programs/programs.h"

namespace {

constexpr int kRanks = 2, kSteps = 5, kCount = 10'000;

bool run_rank(int rank, const ncclUniqueId& id) {
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
  float *host = nullptr, *device = nullptr;
  constexpr size_t kBytes = kCount * sizeof(float);
  bool good = cudaSetDevice(rank) == cudaSuccess && ncclCommInitRank(&comm, kRanks, id, rank) == ncclSuccess &&
              cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess &&
              cudaMallocHost(reinterpret_cast<void**>(&host), kBytes) == cudaSuccess &&
              cudaMalloc(reinterpret_cast<void**>(&device), kBytes) == cudaSuccess;
  for (int i = 0; good && i < kCount; ++i) host[i] = 1;
  for (int step = 0; good && step < kSteps; ++step) {
    cudaMemcpyAsync(device, host, kBytes, cudaMemcpyHostToDevice, stream);
    programs::scale(device, 2, kCount, stream);
    programs::scale(device, .25f, kCount, stream);
    ncclAllReduce(device, device, kCount, ncclFloat32, ncclSum, comm, stream);
    cudaMemcpyAsync(host, device, kBytes, cudaMemcpyDeviceToHost, stream);
    good = cudaStreamSynchronize(stream) == cudaSuccess && host[kCount - 1] == 1;
  }
  cudaFree(device);
  cudaFreeHost(host);
  cudaStreamDestroy(stream);
  return ncclCommDestroy(comm) == ncclSuccess && good;
}

}  // namespace

int main() {
  ncclUniqueId id;
  if (ncclGetUniqueId(&id) != ncclSuccess) return 1;
  std::vector<std::thread> threads;
  int good[kRanks] = {};
  for (int rank = 0; rank < kRanks; ++rank) threads.emplace_back([&, rank] { good[rank] = run_rank(rank, id); });
  for (std::thread& thread : threads) thread.join();
  return good[0] != 0 && good[1] != 0 ? 0 : 1;
}
