#pragma once
// What has surely finished before an op starts: for each op, the last op of every lane that lanes and `after` order
// before it (a vector clock).

#include <array>
#include <cstdint>
#include <vector>

#include "core/program/program.h"

namespace shardscope {

class Clocks {
 public:
  using Clock = std::array<std::int32_t, kLanes>;  ///< last ordered op of each lane, -1: none

  explicit Clocks(std::size_t instructions) : of_(instructions) { last_.fill(-1); }

  /// Starts op `id` on `lane`: ordered after the lane's previous op.
  void begin(OpId id, Lane lane) {
    Clock& clock = at(id);
    const std::int32_t previous = last_[static_cast<std::size_t>(lane)];
    if (previous >= 0) {
      clock = at(OpId{previous});
    } else {
      clock.fill(-1);
    }
    clock[static_cast<std::size_t>(lane)] = previous;
    last_[static_cast<std::size_t>(lane)] = id.index;
  }

  /// Orders `id` after `other`, an earlier op of lane `lane`, and all that is before it.
  void join(OpId id, OpId other, Lane lane) {
    Clock& clock = at(id);
    const Clock& theirs = at(other);
    for (std::size_t l = 0; l < kLanes; ++l) clock[l] = std::max(clock[l], theirs[l]);
    auto& own = clock[static_cast<std::size_t>(lane)];
    own = std::max(own, other.index);
  }

  bool is_after(OpId id, OpId other, Lane other_lane) const {
    return of_[static_cast<std::size_t>(id.index)][static_cast<std::size_t>(other_lane)] >= other.index;
  }

 private:
  Clock& at(OpId id) { return of_[static_cast<std::size_t>(id.index)]; }
  std::vector<Clock> of_;
  Clock last_{};
};

/// Alloc and Free happen at issue, in program order; they take no part in the order of lanes.
inline bool is_memory_op(const Op& op) { return std::holds_alternative<Alloc>(op) || std::holds_alternative<Free>(op); }

}  // namespace shardscope
