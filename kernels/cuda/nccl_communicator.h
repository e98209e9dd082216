#pragma once
// Collectives over device memory by NCCL, enqueued on a lane's stream. One rank has one GPU. Sums are in NCCL's order,
// so unlike those of the host communicators they are the same bits only for the same number of ranks and sizes.
//
//   auto comm = std::make_unique<NcclCommunicator>(std::move(host), lane_state, alive);
//   comm->all_reduce(...);   // on the lane's thread
//
// The ranks find each other in the first call: when a lane gets there in its order, ranks cannot wait in a circle.
// Messages have a link for each pair and direction: not all ranks of a pipeline send on a lane.

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "core/engine/communicator.h"
#include "kernels/cuda/kernel.h"
#include "kernels/cuda/nccl_link.h"

namespace shardscope::cuda {

class NcclCommunicator final : public Communicator {
 public:
  /// `host` connects the same ranks and carries NCCL's id. The first call throws Error{kDevice} for ranks that share a
  /// GPU (naming them), and any call with NCCL's reason. It is in `alive` for as long as it lives.
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
  NcclLink& everybody();
  NcclLink& to(int peer);
  NcclLink& from(int peer);
  NcclLink& keep(int key, const ncclUniqueId& id, int ranks, int rank);
  NcclLink* find(int key);
  void exchange(const void* in, int to, void* out, int from, std::int64_t count, DType dtype);
  cudaStream_t stream() const { return lane_.stream(); }

  std::unique_ptr<Communicator> host_;
  LaneState& lane_;
  std::vector<NcclCommunicator*>& alive_;
  mutable std::mutex mutex_;  // of the next two
  std::map<int, std::unique_ptr<NcclLink>> links_;
  bool aborted_ = false;
};

}  // namespace shardscope::cuda
