#pragma once
// Groups: what a thread calls between ncclGroupStart and ncclGroupEnd is enqueued at the end, messages of a stream
// together.
//
//   Group& group = this_threads_group();
//   group.add(call) ...; group.flush();

#include <memory>
#include <vector>

#include "tests/cudasim/nccl/comm.h"

namespace cudasim {

struct GroupedCall {
  std::shared_ptr<Comm> comm;
  Stream* stream;
  Called called;
  const void* send;
  void* receive;
  bool sends;  ///< of a message: root is its peer
};

class Group {
 public:
  int depth = 0;
  std::vector<std::shared_ptr<Comm>> joining;  ///< communicators that are made in this group
  /// Enqueues it, at once where no group is open.
  ncclResult_t add(GroupedCall call);
  ncclResult_t end();

 private:
  ncclResult_t flush();
  void enqueue(const std::vector<GroupedCall>& all);
  void enqueue_collective(const GroupedCall& call);
  void enqueue_messages(Stream* stream, const std::vector<GroupedCall>& calls);
  std::vector<GroupedCall> calls_;
};

Group& this_threads_group();
/// Waits until all ranks have joined (a communicator that does not block: not at all).
ncclResult_t wait_joined(Comm& comm);

}  // namespace cudasim
