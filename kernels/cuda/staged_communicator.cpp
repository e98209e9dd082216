#include "kernels/cuda/staged_communicator.h"

namespace shardscope::cuda {

/// `bytes` of device memory, at the start of `room` bytes on the host.
std::byte* StagedCommunicator::take(const void* device, std::int64_t bytes, std::int64_t room) {
  check(cudaSetDevice(device_.index), "cudaSetDevice");
  if (room > staging_bytes_) {
    check(cudaFreeHost(staging_), "cudaFreeHost");
    staging_ = nullptr;
    check(cudaHostAlloc(reinterpret_cast<void**>(&staging_), static_cast<std::size_t>(room), cudaHostAllocPortable),
          "cudaHostAlloc");
    staging_bytes_ = room;
  }
  if (bytes > 0)
    check(cudaMemcpy(staging_, device, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost), "cudaMemcpy");
  return staging_;
}

void StagedCommunicator::give(void* device, const std::byte* host, std::int64_t bytes) {
  check(cudaMemcpy(device, host, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice), "cudaMemcpy");
}

void StagedCommunicator::all_reduce(void* data, std::int64_t count, DType dtype, ReduceOp op) {
  const std::int64_t bytes = count * size_of(dtype);
  std::byte* const host = take(data, bytes, bytes);
  host_->all_reduce(host, count, dtype, op);
  give(data, host, bytes);
}

void StagedCommunicator::reduce_scatter(const void* in, void* out, std::int64_t count, DType dtype) {
  const std::int64_t part = count * size_of(dtype), whole = part * size();
  std::byte* const host = take(in, whole, whole + part);
  host_->reduce_scatter(host, host + whole, count, dtype);
  give(out, host + whole, part);
}

void StagedCommunicator::all_gather(const void* in, void* out, std::int64_t count, DType dtype) {
  const std::int64_t part = count * size_of(dtype), whole = part * size();
  std::byte* const host = take(in, part, part + whole);
  host_->all_gather(host, host + part, count, dtype);
  give(out, host + part, whole);
}

void StagedCommunicator::broadcast(void* data, std::int64_t count, DType dtype, int root) {
  const std::int64_t bytes = count * size_of(dtype);
  std::byte* const host = take(data, bytes, bytes);
  host_->broadcast(host, count, dtype, root);
  give(data, host, bytes);
}

void StagedCommunicator::all_to_all(const void* in, void* out, std::int64_t count, DType dtype) {
  const std::int64_t whole = count * size_of(dtype) * size();
  std::byte* const host = take(in, whole, 2 * whole);
  host_->all_to_all(host, host + whole, count, dtype);
  give(out, host + whole, whole);
}

void StagedCommunicator::ring_shift(const void* in, void* out, std::int64_t count, DType dtype) {
  const std::int64_t bytes = count * size_of(dtype);
  std::byte* const host = take(in, bytes, 2 * bytes);
  host_->ring_shift(host, host + bytes, count, dtype);
  give(out, host + bytes, bytes);
}

void StagedCommunicator::send(const void* data, std::int64_t count, DType dtype, int peer) {
  const std::int64_t bytes = count * size_of(dtype);
  host_->send(take(data, bytes, bytes), count, dtype, peer);
}

void StagedCommunicator::recv(void* data, std::int64_t count, DType dtype, int peer) {
  const std::int64_t bytes = count * size_of(dtype);
  std::byte* const host = take(nullptr, 0, bytes);
  host_->recv(host, count, dtype, peer);
  give(data, host, bytes);
}

}  // namespace shardscope::cuda
