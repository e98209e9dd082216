#include "simulator/clock/shared_resources.h"

#include <algorithm>
#include <cmath>

namespace shardscope {

namespace {

std::size_t index_of(std::int32_t i) { return static_cast<std::size_t>(i); }

}  // namespace

std::int64_t Progress::change_speed(std::int64_t now_ns, double to) {
  left_ns = std::max(0.0, left_ns - static_cast<double>(now_ns - since_ns) * speed);
  since_ns = now_ns;
  speed = to;
  return now_ns + std::max<std::int64_t>(static_cast<std::int64_t>(std::ceil(left_ns / to - 1e-6)), 0);
}

SharedResources::SharedResources(std::vector<double> capacity) {
  resources_.resize(capacity.size());
  for (std::size_t r = 0; r < capacity.size(); ++r) resources_[r].capacity = capacity[r];
}

void SharedResources::mark(std::int32_t resource) {
  Used& r = resources_[index_of(resource)];
  if (r.changed) return;
  r.changed = true;
  changed_.push_back(resource);
}

bool SharedResources::add(std::int32_t activity, const Draws& draws) {
  if (draws.demands.empty()) return false;
  if (index_of(activity) >= draws_.size()) {
    draws_.resize(index_of(activity) + 1);
    is_reached_.resize(draws_.size());
  }
  draws_[index_of(activity)] = &draws;
  bool competes = false;
  for (const Demand& d : draws.demands) {
    Used& r = resources_[index_of(d.resource)];
    r.load += d.amount;
    r.users.push_back(activity);
    if (!is_tight(r)) continue;
    competes = true;
    mark(d.resource);
  }
  return competes;
}

void SharedResources::remove(std::int32_t activity) {
  if (index_of(activity) >= draws_.size() || draws_[index_of(activity)] == nullptr) return;
  for (const Demand& d : draws_[index_of(activity)]->demands) {
    Used& r = resources_[index_of(d.resource)];
    if (is_tight(r)) mark(d.resource);
    r.load -= d.amount;
    r.users.erase(std::find(r.users.begin(), r.users.end(), activity));
    if (r.users.empty()) r.load = 0;  // sheds rounding
  }
  draws_[index_of(activity)] = nullptr;
}

bool SharedResources::is_used_up(const Draws& draws) const {
  return std::any_of(draws.demands.begin(), draws.demands.end(), [&](const Demand& d) {
    const Used& r = resources_[index_of(d.resource)];
    return r.load >= r.capacity * (1 - 1e-9);
  });
}

// The users of a resource are among those to be shared out.
void SharedResources::reach(std::int32_t resource) {
  Used& r = resources_[index_of(resource)];
  if (r.local >= 0) return;
  r.local = static_cast<std::int32_t>(visited_.size());
  visited_.push_back(resource);
  for (std::int32_t activity : r.users) {
    if (is_reached_[index_of(activity)] != 0) continue;
    is_reached_[index_of(activity)] = 1;
    reached_.push_back(activity);
  }
}

// From what has changed, by everything tight, as far as it goes.
void SharedResources::collect() {
  visited_.clear(), reached_.clear();
  for (std::int32_t resource : changed_) reach(resource);
  for (std::size_t i = 0; i < reached_.size(); ++i) {
    for (const Demand& d : draws_[index_of(reached_[i])]->demands) {
      if (is_tight(resources_[index_of(d.resource)])) reach(d.resource);
    }
  }
  local_demands_.clear(), local_capacity_.clear(), sharers_.clear();
  for (std::int32_t resource : visited_) local_capacity_.push_back(resources_[index_of(resource)].capacity);
  for (std::int32_t activity : reached_) {
    for (const Demand& d : draws_[index_of(activity)]->demands) {
      const std::int32_t local = resources_[index_of(d.resource)].local;
      if (local >= 0) local_demands_.push_back({local, d.amount});
    }
  }
  std::size_t next = 0;
  for (std::int32_t activity : reached_) {
    const Draws& draws = *draws_[index_of(activity)];
    std::size_t count = 0;
    for (const Demand& d : draws.demands) count += resources_[index_of(d.resource)].local >= 0 ? 1 : 0;
    sharers_.push_back({std::span<const Demand>(local_demands_).subspan(next, count), 1, draws.goes_first});
    next += count;
    is_reached_[index_of(activity)] = 0;
  }
  for (std::int32_t resource : visited_) resources_[index_of(resource)].local = -1;
  for (std::int32_t resource : changed_) resources_[index_of(resource)].changed = false;
  changed_.clear();
}

}  // namespace shardscope
