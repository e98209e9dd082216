#include "simulator/clock/sharing.h"

#include <algorithm>
#include <limits>

#include "core/check.h"

namespace shardscope {

namespace {

constexpr double kLeastShare = 0.1;  // of what goes first leaves to the others. Guess
constexpr double kSameLevel = 1 + 1e-9;

std::size_t index_of(const Demand& d) { return static_cast<std::size_t>(d.resource); }

// What the sharers not yet settled want of each resource at speed 1.
void count_wanted(std::span<const Sharer> sharers, SharingScratch& scratch) {
  std::fill(scratch.wanted.begin(), scratch.wanted.end(), 0.0);
  for (std::size_t i = 0; i < sharers.size(); ++i) {
    if (scratch.settled[i] != 0) continue;
    for (const Demand& d : sharers[i].demands) scratch.wanted[index_of(d)] += d.amount;
  }
}

// Common speed at which a resource is used up.
double level_of(const SharingScratch& scratch, std::size_t resource) {
  const double wanted = scratch.wanted[resource];
  return wanted > 0 ? scratch.left[resource] / wanted : std::numeric_limits<double>::infinity();
}

double lowest_level(const SharingScratch& scratch) {
  double lowest = std::numeric_limits<double>::infinity();
  for (std::size_t r = 0; r < scratch.wanted.size(); ++r) lowest = std::min(lowest, level_of(scratch, r));
  return lowest;
}

// All that no more rise, at one speed. False: nobody is left.
bool settle_round(std::span<Sharer> sharers, SharingScratch& scratch) {
  count_wanted(sharers, scratch);
  const double level = lowest_level(scratch);
  const bool all = level >= 1;
  const double speed = all ? 1 : level;
  std::fill(scratch.drawn.begin(), scratch.drawn.end(), 0.0);
  const auto is_held = [&](const Demand& d) { return level_of(scratch, index_of(d)) <= level * kSameLevel; };
  for (std::size_t i = 0; i < sharers.size(); ++i) {
    const auto& demands = sharers[i].demands;
    if (scratch.settled[i] != 0 || !(all || std::any_of(demands.begin(), demands.end(), is_held))) continue;
    scratch.settled[i] = 1;
    sharers[i].speed = speed;
    SS_CHECK(speed > 0, i);
    for (const Demand& d : demands) scratch.drawn[index_of(d)] += d.amount;
  }
  for (std::size_t r = 0; r < scratch.left.size(); ++r) {
    scratch.left[r] = std::max(0.0, scratch.left[r] - speed * scratch.drawn[r]);
  }
  return !all;
}

}  // namespace

void share_fairly(std::span<Sharer> sharers, std::span<const double> capacity, SharingScratch& scratch) {
  scratch.left.assign(capacity.begin(), capacity.end());
  scratch.wanted.resize(capacity.size());
  scratch.drawn.resize(capacity.size());
  scratch.settled.resize(sharers.size());
  const bool some_first = std::any_of(sharers.begin(), sharers.end(), [](const Sharer& s) { return s.goes_first; });
  for (const bool first : {true, false}) {
    if (first && !some_first) continue;
    for (std::size_t i = 0; i < sharers.size(); ++i) scratch.settled[i] = sharers[i].goes_first == first ? 0 : 1;
    for (std::size_t r = 0; some_first && !first && r < capacity.size(); ++r) {
      scratch.left[r] = std::max(scratch.left[r], capacity[r] * kLeastShare);
    }
    while (settle_round(sharers, scratch)) {
    }
  }
}

}  // namespace shardscope
