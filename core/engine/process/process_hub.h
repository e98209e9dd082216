#pragma once
// Ranks as processes, of one machine or several. Within a machine they meet in shared memory, between machines over TCP
// or what `far_wires` makes. A thread of this hub keeps in touch with rank 0 (there: with everybody): so a rank that
// fails, dies or does not answer stops the others, with one message that says where everybody was.
//
//   ProcessHub hub({.join = {.rank = 2, .world = 4, .hosts = {"10.0.0.1"}, .port = 29500}});
//   train(job, backends, {.hub = &hub});

#include <fmt/format.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/engine/hang_watch.h"
#include "core/engine/hub.h"
#include "core/engine/process/join.h"
#include "core/engine/process/wire.h"

namespace shardscope {

enum class Transport { kBest, kShared, kTcp, kFar };

struct ProcessHubOptions {
  JoinOptions join;
  double hang_timeout_s = 30;  ///< a rank that does not get on, or does not answer, for so long ends the run; 0: never
  WireFactory far_wires;       ///< for groups on several machines; null: TCP
  Transport transport = Transport::kBest;  ///< of all groups, for tests; best: shared memory where it can be
};

class ProcessHub : public Hub {
 public:
  /// Returns when all ranks are there. Throws what join_run() throws.
  explicit ProcessHub(ProcessHubOptions options);
  /// Leaves the run. If it goes on without us the others see a rank that died, so meet before.
  ~ProcessHub() override;
  int world() const override { return static_cast<int>(joined_.places.size()); }
  std::string run_key() const { return fmt::format("{:016x}", joined_.token); }  ///< of this run and no other
  std::vector<int> local_ranks() const override { return {rank_}; }
  /// Rank 0, or the next one if that is what failed.
  bool speaks() const override;
  /// May be called again for the same group and lane, by all its ranks, when all are done with the old one.
  std::unique_ptr<Communicator> connect(const Group& group, Lane lane, int rank) override;
  void barrier() override;
  int threads_per_rank() const override;
  std::int64_t clock_ahead_ns() const override { return joined_.clock_ahead_ns; }
  void abort(int rank, const Error& cause) override;
  std::optional<RankFailure> failure() const override;
  void observe(int rank, const RankState& state) override;

 private:
  struct Link {  // what the thread knows of a line
    bool open = true, said_bye = false;
    std::optional<double> lost_s;  // when it broke without a bye
  };
  bool one_node(const Group& group) const;
  int mates() const;
  void check() const;
  std::unique_ptr<Wire> make_wire(const Group& group, const WireEnds& ends);
  void wake() const;

  // the thread's
  void keep_in_touch();
  void wait_for_news();
  void listen(std::size_t line);
  void take(std::size_t line, const nlohmann::json& message);
  void beat();
  void judge();
  void blame_lost(std::size_t line);
  void blame(int rank, const Error& cause);
  void tell_failure();
  void say_bye();
  int rank_of(std::size_t line) const { return rank_ == 0 ? static_cast<int>(line) : 0; }

  const int rank_;
  const Transport transport_;
  const WireFactory far_wires_;
  Joined joined_;
  std::unique_ptr<Connections> connections_;
  SharedMemory node_memory_;  // of the node's first rank
  std::unique_ptr<Communicator> everybody_;

  std::atomic<bool> aborted_{false}, leaving_{false};
  mutable std::mutex mutex_;  // guards the next two
  std::optional<RankFailure> failure_;
  RankState state_;
  std::atomic<bool> first_is_gone_{false};  // rank 0 failed in a way that it cannot tell itself
  Fd news_;                                 // an eventfd: there is something to tell
  bool told_ = false;
  std::vector<Link> links_;  // by line
  HangWatch watch_;
  WatchClock clock_;
  double now_s_ = 0, last_beat_s_ = -1;
  std::thread thread_;
};

}  // namespace shardscope
