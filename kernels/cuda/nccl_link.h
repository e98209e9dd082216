#pragma once
// One NCCL communicator: made by all its ranks at once, and left by each alone.
//
//   NcclLink link(id, /*ranks=*/2, /*rank=*/0, peers_are_there);
//   link.settle(ncclSend(..., link.comm(), stream), "ncclSend");

#include <nccl.h>

#include <atomic>
#include <functional>

#include "core/error.h"

namespace shardscope::cuda {

/// "ncclAllReduce: NCCL says unhandled system error: ..."
Error nccl_error(ncclResult_t status, const char* what, ncclComm_t comm);
ncclUniqueId new_nccl_id();

class NcclLink {
 public:
  /// Waits for all ranks; `check_peers` is called meanwhile and may throw. Throws Error{kDevice} with NCCL's reason.
  NcclLink(const ncclUniqueId& id, int ranks, int rank, std::function<void()> check_peers);
  NcclLink(const NcclLink&) = delete;
  NcclLink& operator=(const NcclLink&) = delete;
  ~NcclLink() { abort(); }  ///< what it was used for is done: nothing is lost
  ncclComm_t comm() const { return comm_; }
  /// A communicator that does not block says "in progress" until what was asked of it is enqueued: waits for that.
  void settle(ncclResult_t status, const char* what);
  /// What went wrong in the background: throws Error{kDevice}. Any thread.
  void check_health() const;
  /// Ends what is under way, so that nobody waits for ever. Any thread.
  void abort();

 private:
  Error explained(ncclResult_t status, const char* what) const;

  std::function<void()> check_peers_;
  std::atomic<ncclComm_t> comm_ = nullptr;  ///< null after abort()
};

}  // namespace shardscope::cuda
