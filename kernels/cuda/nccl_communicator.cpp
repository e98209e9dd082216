#include "kernels/cuda/nccl_communicator.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "core/engine/hub.h"
#include "core/error.h"

namespace shardscope::cuda {
namespace {

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

Error one_gpu(int a, int b, const GpuName& gpu) {
  return {ErrorKind::kDevice,
          fmt::format("ranks {} and {} of a group are on one GPU ({}), and NCCL takes one rank of each (Duplicate GPU "
                      "detected): use as many GPUs as ranks, or --share-gpu, which moves data through host memory",
                      a, b, gpu.data())};
}

/// NCCL would say "Duplicate GPU detected" later, and not who.
void check_gpus_differ(Communicator& host, int device) {
  const GpuName mine = name_of_gpu(device);
  std::vector<GpuName> all(static_cast<std::size_t>(host.size()));
  host.all_gather(&mine, all.data(), sizeof(GpuName), DType::kI8);
  for (int a = 0; a < host.size(); ++a) {
    for (int b = a + 1; b < host.size(); ++b) {
      const GpuName& gpu = all[static_cast<std::size_t>(a)];
      if (gpu == all[static_cast<std::size_t>(b)]) throw one_gpu(a, b, gpu);
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

/// What the sender tells the receiver before their first message.
struct Hello {
  ncclUniqueId id;
  GpuName gpu;
};

/// Keys of links_.
constexpr int kEverybody = -1;
int key_to(int peer) { return 2 * peer; }
int key_from(int peer) { return 2 * peer + 1; }

}  // namespace

NcclCommunicator::NcclCommunicator(std::unique_ptr<Communicator> host, LaneState& lane,
                                   std::vector<NcclCommunicator*>& alive)
    : host_(std::move(host)), lane_(lane), alive_(alive) {
  alive_.push_back(this);
}

NcclCommunicator::~NcclCommunicator() { std::erase(alive_, this); }

NcclLink* NcclCommunicator::find(int key) {
  const std::lock_guard lock(mutex_);
  if (aborted_) throw PeerStopped("the run was stopped");
  const auto found = links_.find(key);
  return found == links_.end() ? nullptr : found->second.get();
}

NcclLink& NcclCommunicator::keep(int key, const ncclUniqueId& id, int ranks, int rank) {
  auto link = std::make_unique<NcclLink>(id, ranks, rank, [this] { host_->check_peers(); });
  const std::lock_guard lock(mutex_);
  return *(links_[key] = std::move(link));
}

NcclLink& NcclCommunicator::everybody() {
  if (NcclLink* link = find(kEverybody)) return *link;
  check_gpus_differ(*host_, lane_.device().index);
  ncclUniqueId id = rank() == 0 ? new_nccl_id() : ncclUniqueId{};
  host_->broadcast(&id, sizeof id, DType::kI8, 0);
  return keep(kEverybody, id, this->size(), rank());
}

NcclLink& NcclCommunicator::to(int peer) {
  if (NcclLink* link = find(key_to(peer))) return *link;
  const Hello hello{new_nccl_id(), name_of_gpu(lane_.device().index)};
  host_->send(&hello, sizeof hello, DType::kI8, peer);
  return keep(key_to(peer), hello.id, 2, 0);
}

NcclLink& NcclCommunicator::from(int peer) {
  if (NcclLink* link = find(key_from(peer))) return *link;
  Hello hello{};
  host_->recv(&hello, sizeof hello, DType::kI8, peer);
  if (hello.gpu == name_of_gpu(lane_.device().index)) throw one_gpu(peer, rank(), hello.gpu);
  return keep(key_from(peer), hello.id, 2, 1);
}

void NcclCommunicator::check_health() const {
  host_->check_peers();
  const std::lock_guard lock(mutex_);
  for (const auto& [key, link] : links_) link->check_health();
}

void NcclCommunicator::abort() {
  const std::lock_guard lock(mutex_);
  aborted_ = true;
  for (const auto& [key, link] : links_) link->abort();
}

void NcclCommunicator::all_reduce(void* data, std::int64_t count, DType dtype, ReduceOp op) {
  const ncclRedOp_t reduce = op == ReduceOp::kMax ? ncclMax : ncclSum;
  NcclLink& link = everybody();
  link.settle(ncclAllReduce(data, data, cuda::size(count), nccl_type(dtype), reduce, link.comm(), stream()),
              "ncclAllReduce");
}

void NcclCommunicator::reduce_scatter(const void* in, void* out, std::int64_t count, DType dtype) {
  NcclLink& link = everybody();
  link.settle(ncclReduceScatter(in, out, cuda::size(count), nccl_type(dtype), ncclSum, link.comm(), stream()),
              "ncclReduceScatter");
}

void NcclCommunicator::all_gather(const void* in, void* out, std::int64_t count, DType dtype) {
  NcclLink& link = everybody();
  link.settle(ncclAllGather(in, out, cuda::size(count), nccl_type(dtype), link.comm(), stream()), "ncclAllGather");
}

void NcclCommunicator::broadcast(void* data, std::int64_t count, DType dtype, int root) {
  NcclLink& link = everybody();
  link.settle(ncclBroadcast(data, data, cuda::size(count), nccl_type(dtype), root, link.comm(), stream()),
              "ncclBroadcast");
}

void NcclCommunicator::all_to_all(const void* in, void* out, std::int64_t count, DType dtype) {
  NcclLink& link = everybody();
  link.settle(ncclGroupStart(), "ncclGroupStart");
  for (int peer = 0; peer < this->size(); ++peer) {
    exchange(at(in, peer * count, dtype), peer, at(out, peer * count, dtype), peer, count, dtype);
  }
  link.settle(ncclGroupEnd(), "ncclGroupEnd (all-to-all)");
}

void NcclCommunicator::ring_shift(const void* in, void* out, std::int64_t count, DType dtype) {
  NcclLink& link = everybody();
  link.settle(ncclGroupStart(), "ncclGroupStart");
  exchange(in, (rank() + 1) % this->size(), out, (rank() + this->size() - 1) % this->size(), count, dtype);
  link.settle(ncclGroupEnd(), "ncclGroupEnd (ring shift)");
}

/// Between ncclGroupStart and ncclGroupEnd, where nothing is under way yet that could be waited for.
void NcclCommunicator::exchange(const void* in, int to, void* out, int from, std::int64_t count, DType dtype) {
  const ncclComm_t comm = everybody().comm();
  const auto check_begun = [&](ncclResult_t status, const char* what) {
    if (status != ncclSuccess && status != ncclInProgress) throw nccl_error(status, what, comm);
  };
  check_begun(ncclSend(in, cuda::size(count), nccl_type(dtype), to, comm, stream()), "ncclSend");
  check_begun(ncclRecv(out, cuda::size(count), nccl_type(dtype), from, comm, stream()), "ncclRecv");
}

void NcclCommunicator::send(const void* data, std::int64_t count, DType dtype, int peer) {
  NcclLink& link = to(peer);
  link.settle(ncclSend(data, cuda::size(count), nccl_type(dtype), 1, link.comm(), stream()), "ncclSend");
}

void NcclCommunicator::recv(void* data, std::int64_t count, DType dtype, int peer) {
  NcclLink& link = from(peer);
  link.settle(ncclRecv(data, cuda::size(count), nccl_type(dtype), 0, link.comm(), stream()), "ncclRecv");
}

}  // namespace shardscope::cuda
