// Ranks as processes, each with a device of its own: `nccl_processes_check RANKS [dies]`. With "dies", the last rank
// ends before the collective, and the others must be told that it is gone. Exit status 0 if all is as it should be.

#include <cuda_runtime_api.h>
#include <nccl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

bool good(bool is, const char* what, int rank) {
  if (!is) std::fprintf(stderr, "rank %d: %s\n", rank, what);
  return is;
}

int run_rank(int rank, int ranks, const ncclUniqueId& id, bool dies) {
  constexpr size_t kCount = 100'000;
  ncclComm_t comm = nullptr;
  float* data = nullptr;
  if (!good(cudaSetDevice(rank) == cudaSuccess, "cudaSetDevice", rank)) return 1;
  if (!good(ncclCommInitRank(&comm, ranks, id, rank) == ncclSuccess, "ncclCommInitRank", rank)) return 1;
  if (dies && rank == ranks - 1) _exit(0);
  std::vector<float> host(kCount, static_cast<float>(rank + 1));
  cudaMalloc(reinterpret_cast<void**>(&data), kCount * sizeof(float));
  cudaMemcpy(data, host.data(), kCount * sizeof(float), cudaMemcpyHostToDevice);
  if (!good(ncclAllReduce(data, data, kCount, ncclFloat32, ncclSum, comm, nullptr) == ncclSuccess, "ncclAllReduce",
            rank))
    return 1;
  if (dies) {
    ncclResult_t code = ncclSuccess;
    while (code == ncclSuccess) ncclCommGetAsyncError(comm, &code);
    ncclCommAbort(comm);
    return good(code == ncclRemoteError, "the death of a rank was not said", rank) ? 0 : 1;
  }
  if (!good(cudaDeviceSynchronize() == cudaSuccess, "cudaDeviceSynchronize", rank)) return 1;
  cudaMemcpy(host.data(), data, kCount * sizeof(float), cudaMemcpyDeviceToHost);
  const int sum = ranks * (ranks + 1) / 2;
  for (const float x : host) {
    if (!good(x == static_cast<float>(sum), "a wrong sum", rank)) return 1;
  }
  return good(ncclCommDestroy(comm) == ncclSuccess, "ncclCommDestroy", rank) ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const int ranks = argc > 1 ? std::atoi(argv[1]) : 2;
  const bool dies = argc > 2 && std::strcmp(argv[2], "dies") == 0;
  ncclUniqueId id;
  if (ncclGetUniqueId(&id) != ncclSuccess) return 1;
  std::vector<pid_t> children;
  for (int rank = 0; rank < ranks; ++rank) {
    const pid_t child = fork();
    if (child == 0) std::exit(run_rank(rank, ranks, id, dies));
    children.push_back(child);
  }
  int bad = 0;
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    bad += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
  }
  return bad;
}
