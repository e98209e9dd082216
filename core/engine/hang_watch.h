#pragma once
// Finds the rank that keeps a run from going on, from what ranks say of themselves a few times a second.
//
//   HangWatch watch(ranks, /*timeout_s=*/30);
//   watch.update(rank, state, clock.now_s());
//   if (auto failure = watch.find(clock.now_s())) hub.abort(failure->rank, failure->cause);

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "core/engine/hub.h"
#include "core/engine/rank_state.h"

namespace shardscope {

/// Seconds of a thread that looks at it often. Time in which that thread itself was stopped (Ctrl-Z, a machine that
/// slept) counts as one second at most: others were probably stopped too.
class WatchClock {
 public:
  double now_s();

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
  double now_s_ = 0;
};

class HangWatch {
 public:
  /// timeout_s 0: finds nothing.
  HangWatch(int ranks, double timeout_s);
  /// Ranks of which nothing was ever said are not judged.
  void update(int rank, const RankState& state, double now_s);
  void forget(int rank);
  /// Nothing, or whom to blame: a rank that has not been heard of for timeout_s; one that has been in the same ops for
  /// that long, and longer than they may take; or, if all wait for each other, all of them.
  std::optional<RankFailure> find(double now_s) const;
  /// "rank 2 was last seen in op 57 ...; ranks 0, 1, 3 are in op 60 ...": for the message about `rank`.
  std::string places(int rank) const;

 private:
  struct Seen {
    RankState state;
    double heard_s = 0, moved_s = 0;
  };
  std::optional<RankFailure> find_deadlock() const;
  std::optional<RankFailure> find_at(int rank, const Seen& seen, double now_s) const;
  std::string places_of_others(int rank) const;

  const double timeout_s_;
  std::vector<std::optional<Seen>> seen_;  // by rank
};

}  // namespace shardscope
