#pragma once
// Who draws on what now, and how fast that lets each go. Only resources of which more is wanted than there is tie their
// users together, so speeds are found anew for those alone whom a change can reach.
//
//   SharedResources shared(capacity);
//   bool competes = shared.add(activity, draws);
//   shared.share([&](std::int32_t activity, double speed) { ... });   // once all changes of an instant are in

#include <cstdint>
#include <vector>

#include "simulator/clock/cost_table.h"
#include "simulator/clock/sharing.h"

namespace shardscope {

/// How far an activity has come.
struct Progress {
  double left_ns = 0;  ///< at `since_ns`, in ns at full speed
  double speed = 1;
  std::int64_t since_ns = 0;

  /// Goes on at another speed from now on. When it will end.
  std::int64_t change_speed(std::int64_t now_ns, double to);
};

class SharedResources {
 public:
  explicit SharedResources(std::vector<double> capacity);

  /// Whether it competes now, so that the next share() sets its speed. `draws` must stay where it is until remove().
  bool add(std::int32_t activity, const Draws& draws);
  void remove(std::int32_t activity);

  bool is_used_up(const Draws& draws) const;
  bool changed() const { return !changed_.empty(); }

  /// Calls `set(activity, speed)` for those whose speed may have changed.
  template <class Set>
  void share(Set&& set) {
    collect();
    share_fairly(sharers_, local_capacity_, scratch_);
    for (std::size_t i = 0; i < reached_.size(); ++i) set(reached_[i], sharers_[i].speed);
  }

 private:
  struct Used {
    double capacity = 0, load = 0;
    std::vector<std::int32_t> users;
    std::int32_t local = -1;  ///< number within a share()
    bool changed = false;
  };

  bool is_tight(const Used& r) const { return r.load > r.capacity * (1 + 1e-9); }
  void mark(std::int32_t resource);
  void reach(std::int32_t resource);
  void collect();

  std::vector<Used> resources_;
  std::vector<const Draws*> draws_;  ///< by activity; null: not there
  std::vector<char> is_reached_;     ///< by activity
  std::vector<std::int32_t> changed_, visited_, reached_;
  std::vector<Demand> local_demands_;
  std::vector<double> local_capacity_;
  std::vector<Sharer> sharers_;
  SharingScratch scratch_;
};

}  // namespace shardscope
