#include "simulator/clock/sharing.h"

#include <algorithm>
#include <limits>

#include "core/check.h"

namespace shardscope {

namespace {

struct Bottleneck {
  double level = std::numeric_limits<double>::infinity();  ///< common speed at which the resource is used up
  int resource = -1;
};

// What the sharers not yet settled want of each resource at speed 1.
void count_wanted(std::span<const Sharer> sharers, SharingScratch& scratch) {
  std::fill(scratch.wanted.begin(), scratch.wanted.end(), 0.0);
  for (std::size_t i = 0; i < sharers.size(); ++i) {
    if (scratch.settled[i]) continue;
    for (const Demand& d : sharers[i].demands) scratch.wanted[static_cast<std::size_t>(d.resource)] += d.amount;
  }
}

Bottleneck first_used_up(const SharingScratch& scratch) {
  Bottleneck first;
  for (std::size_t r = 0; r < scratch.wanted.size(); ++r) {
    if (scratch.wanted[r] <= 0) continue;
    const double level = std::max(scratch.left[r], 0.0) / scratch.wanted[r];
    if (level < first.level) first = {level, static_cast<int>(r)};
  }
  return first;
}

bool draws_on(const Sharer& sharer, int resource) {
  return std::any_of(sharer.demands.begin(), sharer.demands.end(),
                     [&](const Demand& d) { return d.resource == resource; });
}

}  // namespace

void share_fairly(std::span<Sharer> sharers, std::span<const double> capacity, SharingScratch& scratch) {
  scratch.left.assign(capacity.begin(), capacity.end());
  scratch.wanted.resize(capacity.size());
  scratch.settled.assign(sharers.size(), 0);
  for (;;) {
    count_wanted(sharers, scratch);
    const Bottleneck bottleneck = first_used_up(scratch);
    const bool last = bottleneck.level >= 1;
    for (std::size_t i = 0; i < sharers.size(); ++i) {
      if (scratch.settled[i] || !(last || draws_on(sharers[i], bottleneck.resource))) continue;
      scratch.settled[i] = 1;
      sharers[i].speed = last ? 1 : bottleneck.level;
      SS_CHECK(sharers[i].speed > 0, i);
      for (const Demand& d : sharers[i].demands) {
        scratch.left[static_cast<std::size_t>(d.resource)] -= d.amount * sharers[i].speed;
      }
    }
    if (last) return;
  }
}

}  // namespace shardscope
