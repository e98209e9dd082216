#pragma once
// A communicator of one rank, and its operations: closures that are called again until their peers have come.
//
//   auto comm = std::make_shared<Comm>(...);
//   machine().enqueue(stream, OperationKind::kCollective, name, [comm, call](Operation& op) { return poll(*comm, *call,
//   op); });

#include <nccl.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/cudasim/core/machine.h"
#include "tests/cudasim/nccl/board.h"
#include "tests/cudasim/nccl/profiler.h"

namespace cudasim {

enum What : s32 { kAllReduce, kReduceScatter, kAllGather, kBroadcast, kReduce, kSendRecv };
const char* name_of(s32 what);
const char* name_of_type(s32 type);
u64 bytes_of_type(s32 type);  ///< 0: no such type

struct Comm {
  Comm(const std::string& board_name, int its_rank, int its_ranks, int its_device, bool blocks)
      : board(board_name), rank(its_rank), ranks(its_ranks), device(its_device), blocking(blocks) {}

  Board board;
  int rank, ranks, device;
  bool blocking;
  u64 token = 0;     ///< of the last chunk that this rank published
  u64 sequence = 0;  ///< collectives called
  u64 splits = 0;
  u64 hash = 0;  ///< the same on all ranks
  std::atomic<bool> aborted = false, checked = false;
  std::atomic<int> pending = 0;  ///< answers "in progress" that a communicator that does not block still gives
  Profiler profiler;

  void fail(ncclResult_t code, const std::string& why);
  ncclResult_t error() const { return error_.load(); }
  std::string why() const;
  /// Once all have joined: whether two ranks share a GPU. False: not all are here yet.
  bool ready();
  /// Sets the error where a peer is gone; whether the caller should give up.
  bool hopeless();
  void enqueued(const OperationPtr& operation);
  void wait_for_all();  ///< that was enqueued

 private:
  std::atomic<ncclResult_t> error_ = ncclSuccess;
  mutable std::mutex mutex_;
  std::string why_;
  std::vector<OperationPtr> under_way_;  ///< and some that are done
};

/// One collective of one rank, under way.
struct Collective {
  Called called;
  const void* send;
  void* receive;
  u64 first_token = 0;
  u64 chunk = 0;
  bool published = false;
  u64 not_before_ns = 0;  ///< a rank that CUDASIM_NCCL_SLOW delays
  ProfiledOperation profiled;
};
bool poll(Comm& comm, Collective& call, Operation& op);
u64 chunks_of(const Comm& comm, const Called& called);  ///< tokens that it takes

/// One send or receive.
struct Message {
  std::shared_ptr<Comm> comm;
  bool sends;
  u8* data;  ///< of the device
  u64 bytes;
  int peer;
  u64 done = 0;
  u8* place = nullptr;  ///< where the emulation keeps it, once checked
  ProfiledOperation profiled;
};
/// All messages of a group on one stream progress together.
bool poll(std::vector<Message>& messages, Operation& op);

/// into[i] = into[i] (reduction) from[i].
void combine(u8* into, const u8* from, u64 count, s32 type, s32 reduction);
void divide(u8* values, u64 count, s32 type, int by);

}  // namespace cudasim
