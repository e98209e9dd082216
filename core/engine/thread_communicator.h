#pragma once
// Ranks as threads of one process: the embedded default, nothing to install. Ranks read each other's memory directly,
// so a collective is one pass over the data between two meetings.
//
//   ThreadHub hub(/*ranks=*/2);
//   std::unique_ptr<Communicator> comm = hub.connect(program.group(id), Lane::kReduce, program.rank);   // each rank
//
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/engine/hang_watch.h"
#include "core/engine/hub.h"

namespace shardscope {

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

class ThreadHub : public Hub {
 public:
  /// `ranks` threads will take part; they may spin only if the machine has a core for each. A rank that hangs for
  /// longer than hang_timeout_s is found by observe(); 0: never.
  explicit ThreadHub(int ranks, double hang_timeout_s = 0);
  ~ThreadHub() override;
  int world() const override { return ranks_; }
  std::vector<int> local_ranks() const override;
  bool speaks() const override { return true; }
  std::unique_ptr<Communicator> connect(const Group& group, Lane lane, int rank) override;
  void barrier() override;
  void abort(int rank, const Error& cause) override;
  int threads_per_rank() const override;
  std::int64_t clock_ahead_ns() const override { return 0; }
  std::optional<RankFailure> failure() const override;
  void observe(int rank, const RankState& state) override;
  bool aborted() const { return aborted_.load(std::memory_order_acquire); }
  [[noreturn]] void throw_peer_stopped() const;

 private:
  struct Shared;  // one group on one lane
  class End;      // one rank's Communicator of it
  const int ranks_;
  const bool spin_;
  std::atomic<bool> aborted_{false};
  Meeting everybody_;
  mutable std::mutex mutex_;  // guards the rest
  std::map<std::pair<std::string, Lane>, std::unique_ptr<Shared>>
      groups_;  ///< by name and ranks of the group, and lane
  std::optional<RankFailure> failure_;
  HangWatch watch_;  // observe()'s thread only
  WatchClock clock_;
};

}  // namespace shardscope
