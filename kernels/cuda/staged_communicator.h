#pragma once
// Collectives over device memory by a host communicator: out to page-locked memory, there, and back. For ranks that
// share a GPU, which NCCL refuses, and so for tests. Blocks: the executor calls it when the lane has got there.
//
//   auto comm = std::make_unique<StagedCommunicator>(std::move(host), device);

#include <cuda_runtime.h>

#include <memory>

#include "core/engine/communicator.h"
#include "kernels/cuda/kernel.h"

namespace shardscope::cuda {

class StagedCommunicator final : public Communicator {
 public:
  StagedCommunicator(std::unique_ptr<Communicator> host, const DeviceInfo& device)
      : host_(std::move(host)), device_(device) {}
  ~StagedCommunicator() override { (void)cudaFreeHost(staging_); }
  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  void all_reduce(void* data, std::int64_t count, DType dtype, ReduceOp op) override;
  void reduce_scatter(const void* in, void* out, std::int64_t count, DType dtype) override;
  void all_gather(const void* in, void* out, std::int64_t count, DType dtype) override;
  void broadcast(void* data, std::int64_t count, DType dtype, int root) override;
  void all_to_all(const void* in, void* out, std::int64_t count, DType dtype) override;
  void ring_shift(const void* in, void* out, std::int64_t count, DType dtype) override;
  void send(const void* data, std::int64_t count, DType dtype, int peer) override;
  void recv(void* data, std::int64_t count, DType dtype, int peer) override;
  std::int64_t last_wait_ns() const override { return host_->last_wait_ns(); }

 private:
  std::byte* take(const void* device, std::int64_t bytes, std::int64_t room);
  static void give(void* device, const std::byte* host, std::int64_t bytes);

  std::unique_ptr<Communicator> host_;
  const DeviceInfo& device_;
  std::byte* staging_ = nullptr;
  std::int64_t staging_bytes_ = 0;
};

}  // namespace shardscope::cuda
