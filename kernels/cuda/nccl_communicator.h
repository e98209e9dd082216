#pragma once
// Collectives over device memory by NCCL, enqueued on a lane's stream. One rank has one GPU. Sums are in NCCL's order,
// so unlike those of the host communicators they are the same bits only for the same number of ranks and sizes.
//
//   auto comm = std::make_unique<NcclCommunicator>(std::move(host), lane_state);   // all ranks of the group at once

#include <nccl.h>

#include <memory>
#include <vector>

#include "core/engine/communicator.h"
#include "kernels/cuda/kernel.h"

namespace shardscope::cuda {

class NcclCommunicator final : public Communicator {
 public:
  /// `host` connects the same ranks and carries NCCL's id. Waits for all of them. Throws Error{kDevice}: ranks that
  /// share a GPU (naming them), or NCCL's reason. It is in `alive` for as long as it lives.
  NcclCommunicator(std::unique_ptr<Communicator> host, LaneState& lane, std::vector<NcclCommunicator*>& alive);
  ~NcclCommunicator() override;
  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  bool enqueues() const override { return true; }
  void all_reduce(void* data, std::int64_t count, DType dtype, ReduceOp op) override;
  void reduce_scatter(const void* in, void* out, std::int64_t count, DType dtype) override;
  void all_gather(const void* in, void* out, std::int64_t count, DType dtype) override;
  void broadcast(void* data, std::int64_t count, DType dtype, int root) override;
  void all_to_all(const void* in, void* out, std::int64_t count, DType dtype) override;
  void ring_shift(const void* in, void* out, std::int64_t count, DType dtype) override;
  void send(const void* data, std::int64_t count, DType dtype, int peer) override;
  void recv(void* data, std::int64_t count, DType dtype, int peer) override;
  std::int64_t last_wait_ns() const override { return 0; }
  /// What went wrong in the background since it was made (a cable): throws Error{kDevice}; if a peer stopped,
  /// PeerStopped. Any thread.
  void check_health() const;
  /// Ends what is under way, here and at the peers, so that nobody waits for ever. Any thread.
  void abort();

 private:
  void settle(ncclResult_t status, const char* what);
  void send_in_group(const void* data, std::int64_t count, DType dtype, int peer);
  void recv_in_group(void* data, std::int64_t count, DType dtype, int peer);
  cudaStream_t stream() const { return lane_.stream(); }

  std::unique_ptr<Communicator> host_;
  LaneState& lane_;
  std::vector<NcclCommunicator*>& alive_;
  ncclComm_t comm_ = nullptr;
};

}  // namespace shardscope::cuda
