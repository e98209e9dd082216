#pragma once
// The ranks of a command, if they are processes: finding the others, and telling the user only once what all meet.
//
//   Ranks ranks(launcher);   ...   train(job, backends, {.hub = ranks.hub()});   ...   if (ranks.speaks()) print();

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "core/engine/process/launch.h"
#include "core/engine/process/process_hub.h"

namespace shardscope::cli {

class Ranks {
 public:
  /// Joins the others if this process is one of several, unless `launcher` is "threads". Throws Error.
  Ranks(const std::string& launcher, double hang_timeout_s);
  ~Ranks();
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  Hub* hub() const { return hub_.get(); }  ///< null: ranks are threads of this process
  bool speaks() const { return hub_ == nullptr || hub_->speaks(); }
  int rank() const { return hub_ == nullptr ? 0 : launch_->rank; }
  std::string run_key() const { return hub_ == nullptr ? "" : hub_->run_key(); }
  /// Throws Error{kConfig} if the job wants another number of processes.
  void check_world(int ranks) const;
  /// Waits for all. Nothing to do among threads.
  void meet() const;
  /// Waits for all, and gives every rank's text (cut after a line), by rank.
  std::vector<std::string> gather(const std::string& text) const;
  /// Tells the others that we end here.
  void abort(const Error& cause) const;
  /// What ended the run: the same in all processes. `own`: what ended it here.
  Error cause_of(const Error& own) const;
  /// Tells the user why, once, and only in the process that speaks().
  void say(const Error& error) const;

 private:
  void join(double hang_timeout_s);

  class Mpi;
  std::optional<Launch> launch_;
  std::unique_ptr<Mpi> mpi_;  // outlives the hub
  std::unique_ptr<ProcessHub> hub_;
  mutable std::atomic<bool> said_{false};
};

}  // namespace shardscope::cli
