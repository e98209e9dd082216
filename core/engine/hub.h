#pragma once
// Where the ranks of a run meet. ThreadHub: all of them are threads of this process. ProcessHub (process/): this
// process holds one of them.
//
//   std::unique_ptr<Communicator> comm = hub.connect(program.group(id), Lane::kReduce, program.rank);   // each rank
//
// If a rank fails it calls abort(): everybody who waits for a peer, now or later, gets PeerStopped instead of hanging.

#include <exception>
#include <memory>
#include <optional>
#include <vector>

#include "core/engine/communicator.h"
#include "core/engine/rank_state.h"
#include "core/error.h"
#include "core/program/program.h"

namespace shardscope {

/// Thrown to the ranks that wait for one that failed. Not the cause: that is in the text.
class PeerStopped : public Error {
 public:
  explicit PeerStopped(const std::string& message) : Error(ErrorKind::kDevice, message) {}
};

/// Why the run ends early: the first rank that failed, and what it met.
struct RankFailure {
  int rank = 0;
  Error cause;
};

class Hub {
 public:
  virtual ~Hub() = default;
  virtual int world() const = 0;                     ///< ranks of the run
  virtual std::vector<int> local_ranks() const = 0;  ///< those that are threads of this process
  /// Whether this process is the one that tells the user how the run went.
  virtual bool speaks() const = 0;
  /// This rank's end of a group on a lane. Every rank of the group must connect with the same ranks and lane; it does
  /// not wait for them. Thread-safe. The hub must outlive it.
  virtual std::unique_ptr<Communicator> connect(const Group& group, Lane lane, int rank) = 0;
  /// Waits for all ranks of the run. Throws PeerStopped after abort().
  virtual void barrier() = 0;
  /// A rank's share of the cores that this process may use, at least 1.
  virtual int threads_per_rank() const = 0;
  /// This process's steady_now_ns() minus that of rank 0's, at one moment.
  virtual std::int64_t clock_ahead_ns() const = 0;
  /// Says that `rank` failed and why, and stops everybody. The first call is the cause: later ones change nothing.
  virtual void abort(int rank, const Error& cause) = 0;
  virtual std::optional<RankFailure> failure() const = 0;
  /// What a local rank is doing, a few times a second, from one thread: so that a rank that hangs is found. May abort.
  virtual void observe(int rank, const RankState& state) = 0;
};

/// What an exception says, as an Error: itself if it is one.
Error as_error(const std::exception& exception);

/// A group of all ranks, for what a run decides together.
Group world_group(int world, int self);

}  // namespace shardscope
