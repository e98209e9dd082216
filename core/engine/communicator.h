#pragma once
// Moves data between the ranks of a group. One object per rank, group and lane: collectives of one object match in call
// order. Calls block the calling thread (a lane's thread) until this rank's part is done.

#include <cstdint>

#include "core/program/types.h"

namespace shardscope {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;  ///< place in the group
  virtual int size() const = 0;
  /// Sums in rank order, so every rank gets the same bits. `count` elements.
  virtual void all_reduce(void* data, std::int64_t count, DType dtype, ReduceOp op) = 0;
  /// in [size * count], out [count]; out may be this rank's slice of in.
  virtual void reduce_scatter(const void* in, void* out, std::int64_t count, DType dtype) = 0;
  /// in [count], out [size * count]; in may be this rank's slice of out.
  virtual void all_gather(const void* in, void* out, std::int64_t count, DType dtype) = 0;
  virtual void broadcast(void* data, std::int64_t count, DType dtype, int root) = 0;
  /// in, out [size * count].
  virtual void all_to_all(const void* in, void* out, std::int64_t count, DType dtype) = 0;
  /// out = `in` of the place before this one, round the ring; [count] each. Even places send first, odd ones receive,
  /// so that messages alone make no circle of waiting ranks.
  virtual void ring_shift(const void* in, void* out, std::int64_t count, DType dtype);
  virtual void send(const void* data, std::int64_t count, DType dtype, int peer) = 0;
  virtual void recv(void* data, std::int64_t count, DType dtype, int peer) = 0;
  /// Whether calls only enqueue on a lane's stream, and return before the data has moved.
  virtual bool enqueues() const { return false; }
  /// Throws PeerStopped if the run was stopped since. For who waits for peers by other means. Any thread.
  virtual void check_peers() const {}
  /// Nanoseconds the last call spent waiting for other ranks to arrive; 0 if it only enqueued.
  virtual std::int64_t last_wait_ns() const = 0;
};

}  // namespace shardscope
