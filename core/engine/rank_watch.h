#pragma once
// Looks after the ranks of this process while they run: tells the hub a few times a second what they are doing, and
// says so if a run that has failed does not end, because an op never returns.
//
//   RankWatch watch(hub, on_stuck);   ...   { const RankWatch::Look look(watch, rank, executor);  run the steps }

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "core/engine/executor.h"
#include "core/engine/hang_watch.h"
#include "core/engine/hub.h"

namespace shardscope {

class RankWatch {
 public:
  using OnStuck = std::function<void(const RankFailure&)>;
  /// on_stuck is called once, on the watch's thread, kGraceSeconds after the hub knew of a failure. It may end the
  /// process. Null: nothing is.
  RankWatch(Hub& hub, OnStuck on_stuck);
  ~RankWatch();

  static constexpr double kGraceSeconds = 5;  // longer than most ops take: those end by themselves

  /// While it lives a rank's executor is looked at.
  class Look {
   public:
    Look(RankWatch& watch, int rank, const Executor& executor);
    ~Look();
    Look(const Look&) = delete;
    Look& operator=(const Look&) = delete;

   private:
    RankWatch& watch_;
    int rank_;
  };

 private:
  void work();
  void observe();
  void check_stuck();

  Hub& hub_;
  const OnStuck on_stuck_;
  std::mutex mutex_;
  std::condition_variable end_;
  bool ending_ = false;
  std::map<int, const Executor*> executors_;
  WatchClock clock_;
  std::optional<double> failed_s_;
  bool said_ = false;
  std::thread thread_;
};

}  // namespace shardscope
