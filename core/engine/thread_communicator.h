#pragma once
// Ranks as threads of one process: the embedded default, nothing to install. Ranks read each other's memory directly,
// so a collective is one pass over the data between two meetings.
//
//   ThreadHub hub(/*ranks=*/2);
//   std::unique_ptr<Communicator> comm = hub.connect(program.group(id), Lane::kReduce, program.rank);   // each rank
//
// Every rank of a group must connect with the same ranks and lane. If one rank fails it calls abort(): everybody who
// waits, now or later, gets PeerStopped instead of hanging.

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/engine/communicator.h"
#include "core/error.h"
#include "core/program/program.h"

namespace shardscope {

/// Thrown to the ranks that wait for one that failed. Not the cause: that is in the text.
class PeerStopped : public Error {
 public:
  explicit PeerStopped(const std::string& message) : Error(ErrorKind::kDevice, message) {}
};

/// Meeting point of `size` threads, again and again. Spins for a few microseconds if `spin`, then sleeps.
class Meeting {
 public:
  Meeting(int size, bool spin, const std::atomic<bool>& aborted) : size_(size), spin_(spin), aborted_(aborted) {}
  /// Returns once all have arrived; what they wrote before is then visible. False if the run was aborted.
  bool arrive_and_wait();
  void wake_all();

 private:
  const std::uint32_t size_;
  const bool spin_;
  const std::atomic<bool>& aborted_;
  alignas(64) std::atomic<std::uint32_t> arrived_{0};
  alignas(64) std::atomic<std::uint32_t> generation_{0};
};

class ThreadHub {
 public:
  /// `ranks` threads will take part; they may spin only if the machine has a core for each.
  explicit ThreadHub(int ranks);
  ~ThreadHub();
  /// This rank's end of a group on a lane. Thread-safe. The hub must outlive it.
  std::unique_ptr<Communicator> connect(const Group& group, Lane lane, int rank);
  /// Says that `rank` failed and why, and wakes everybody. The first call is the cause: later ones change nothing.
  void abort(int rank, const std::string& reason);
  /// The rank of the first abort(), if there was one.
  std::optional<int> failed_rank() const;
  bool aborted() const { return aborted_.load(std::memory_order_acquire); }
  /// Waits for all ranks of the run. Throws PeerStopped after abort().
  void barrier();
  [[noreturn]] void throw_peer_stopped() const;

 private:
  struct Shared;  // one group on one lane
  class End;      // one rank's Communicator of it
  const bool spin_;
  std::atomic<bool> aborted_{false};
  Meeting everybody_;
  mutable std::mutex mutex_;  // guards the rest
  std::map<std::pair<std::string, Lane>, std::unique_ptr<Shared>>
      groups_;  ///< by name and ranks of the group, and lane
  std::optional<int> failed_rank_;
  std::string reason_;
};

}  // namespace shardscope
