#include "kernels/cuda/nccl_communicator.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "core/error.h"

namespace shardscope::cuda {
namespace {

Error nccl_error(ncclResult_t status, const char* what, ncclComm_t comm) {
  const char* const detail = ncclGetLastError(comm);
  return {ErrorKind::kDevice,
          fmt::format("{}: NCCL says {}{}{}", what, ncclGetErrorString(status),
                      detail == nullptr || *detail == '\0' ? "" : ": ", detail == nullptr ? "" : detail)};
}

ncclDataType_t nccl_type(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return ncclFloat32;
    case DType::kBF16:
      return ncclBfloat16;
    case DType::kF16:
      return ncclFloat16;
    case DType::kF64:
      return ncclFloat64;
    case DType::kI32:
      return ncclInt32;
    case DType::kI8:
      return ncclInt8;
  }
  throw Error(ErrorKind::kUnsupported, "NCCL has no such dtype");
}

/// A GPU, as all ranks see it: machine and place on its bus.
using GpuName = std::array<char, 128>;

GpuName name_of_gpu(int device) {
  std::array<char, 64> host{};
  std::array<char, 32> bus{};
  (void)gethostname(host.data(), host.size() - 1);
  check(cudaDeviceGetPCIBusId(bus.data(), static_cast<int>(bus.size()), device), "cudaDeviceGetPCIBusId");
  GpuName name{};
  fmt::format_to_n(name.data(), name.size() - 1, "{} of {}", bus.data(), host.data());
  return name;
}

/// NCCL would say "Duplicate GPU detected" later, and not who.
void check_gpus_differ(Communicator& host, int device) {
  const GpuName mine = name_of_gpu(device);
  std::vector<GpuName> all(static_cast<std::size_t>(host.size()));
  host.all_gather(&mine, all.data(), sizeof(GpuName), DType::kI8);
  for (std::size_t a = 0; a < all.size(); ++a) {
    for (std::size_t b = a + 1; b < all.size(); ++b) {
      if (all[a] != all[b]) continue;
      throw Error(
          ErrorKind::kDevice,
          fmt::format("ranks {} and {} of a group are on one GPU ({}), and NCCL takes one rank of each (Duplicate GPU "
                      "detected): use as many GPUs as ranks, or --share-gpu, which moves data through host memory",
                      a, b, all[a].data()));
    }
  }
}

const std::byte* at(const void* data, std::int64_t elements, DType dtype) {
  return static_cast<const std::byte*>(data) + elements * size_of(dtype);
}
std::byte* at(void* data, std::int64_t elements, DType dtype) {
  return static_cast<std::byte*>(data) + elements * size_of(dtype);
}
std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }

}  // namespace

NcclCommunicator::NcclCommunicator(std::unique_ptr<Communicator> host, LaneState& lane,
                                   std::vector<NcclCommunicator*>& alive)
    : host_(std::move(host)), lane_(lane), alive_(alive) {
  check_gpus_differ(*host_, lane.device().index);
  ncclUniqueId id{};
  if (rank() == 0) {
    if (const ncclResult_t status = ncclGetUniqueId(&id); status != ncclSuccess) {
      throw nccl_error(status, "ncclGetUniqueId", nullptr);
    }
  }
  host_->broadcast(&id, sizeof id, DType::kI8, 0);
  check(cudaSetDevice(lane.device().index), "cudaSetDevice");
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;  // so that a peer that is gone can be left
  settle(ncclCommInitRankConfig(&comm_, this->size(), id, rank(), &config), "ncclCommInitRankConfig");
  alive_.push_back(this);
}

NcclCommunicator::~NcclCommunicator() {
  std::erase(alive_, this);
  if (comm_ != nullptr) (void)ncclCommAbort(comm_);  // the lane is idle: nothing is under way
}

/// A communicator that does not block says "in progress" until what was asked of it is enqueued.
void NcclCommunicator::settle(ncclResult_t status, const char* what) {
  while (status == ncclInProgress) {
    host_->check_peers();
    std::this_thread::yield();
    if (const ncclResult_t asked = ncclCommGetAsyncError(comm_, &status); asked != ncclSuccess) status = asked;
  }
  if (status != ncclSuccess) throw nccl_error(status, what, comm_);
}

void NcclCommunicator::check_health() const {
  host_->check_peers();
  if (comm_ == nullptr) return;
  ncclResult_t status = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(comm_, &status);
  if (asked != ncclSuccess) status = asked;
  if (status != ncclSuccess && status != ncclInProgress) throw nccl_error(status, "a collective", comm_);
}

void NcclCommunicator::abort() {
  if (comm_ != nullptr) (void)ncclCommAbort(comm_);
  comm_ = nullptr;
}

void NcclCommunicator::all_reduce(void* data, std::int64_t count, DType dtype, ReduceOp op) {
  const ncclRedOp_t reduce = op == ReduceOp::kMax ? ncclMax : ncclSum;
  settle(ncclAllReduce(data, data, cuda::size(count), nccl_type(dtype), reduce, comm_, stream()), "ncclAllReduce");
}

void NcclCommunicator::reduce_scatter(const void* in, void* out, std::int64_t count, DType dtype) {
  settle(ncclReduceScatter(in, out, cuda::size(count), nccl_type(dtype), ncclSum, comm_, stream()),
         "ncclReduceScatter");
}

void NcclCommunicator::all_gather(const void* in, void* out, std::int64_t count, DType dtype) {
  settle(ncclAllGather(in, out, cuda::size(count), nccl_type(dtype), comm_, stream()), "ncclAllGather");
}

void NcclCommunicator::broadcast(void* data, std::int64_t count, DType dtype, int root) {
  settle(ncclBroadcast(data, data, cuda::size(count), nccl_type(dtype), root, comm_, stream()), "ncclBroadcast");
}

void NcclCommunicator::all_to_all(const void* in, void* out, std::int64_t count, DType dtype) {
  settle(ncclGroupStart(), "ncclGroupStart");
  for (int peer = 0; peer < this->size(); ++peer) {
    send_in_group(at(in, peer * count, dtype), count, dtype, peer);
    recv_in_group(at(out, peer * count, dtype), count, dtype, peer);
  }
  settle(ncclGroupEnd(), "ncclGroupEnd (all-to-all)");
}

void NcclCommunicator::ring_shift(const void* in, void* out, std::int64_t count, DType dtype) {
  settle(ncclGroupStart(), "ncclGroupStart");
  send_in_group(in, count, dtype, (rank() + 1) % this->size());
  recv_in_group(out, count, dtype, (rank() + this->size() - 1) % this->size());
  settle(ncclGroupEnd(), "ncclGroupEnd (ring shift)");
}

/// Between ncclGroupStart and ncclGroupEnd nothing is under way yet that could be waited for.
void NcclCommunicator::send_in_group(const void* data, std::int64_t count, DType dtype, int peer) {
  const ncclResult_t status = ncclSend(data, cuda::size(count), nccl_type(dtype), peer, comm_, stream());
  if (status != ncclSuccess && status != ncclInProgress) throw nccl_error(status, "ncclSend", comm_);
}

void NcclCommunicator::recv_in_group(void* data, std::int64_t count, DType dtype, int peer) {
  const ncclResult_t status = ncclRecv(data, cuda::size(count), nccl_type(dtype), peer, comm_, stream());
  if (status != ncclSuccess && status != ncclInProgress) throw nccl_error(status, "ncclRecv", comm_);
}

void NcclCommunicator::send(const void* data, std::int64_t count, DType dtype, int peer) {
  settle(ncclSend(data, cuda::size(count), nccl_type(dtype), peer, comm_, stream()), "ncclSend");
}

void NcclCommunicator::recv(void* data, std::int64_t count, DType dtype, int peer) {
  settle(ncclRecv(data, cuda::size(count), nccl_type(dtype), peer, comm_, stream()), "ncclRecv");
}

}  // namespace shardscope::cuda
