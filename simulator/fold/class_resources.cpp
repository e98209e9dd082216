#include "simulator/fold/class_resources.h"

#include <algorithm>
#include <array>

#include "core/check.h"

namespace shardscope {

namespace {

// By resource of the cost model and lane: the most that an op draws.
using MostDrawn = std::vector<std::array<double, kLanes>>;

MostDrawn find_most_drawn(const SegmentStore& store, std::size_t kinds) {
  std::vector<std::uint32_t> lanes;  // by number of draws, those whose ops have it
  for (int s = 0; s < store.size(); ++s) {
    const Segment& segment = store[s];
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      for (std::int32_t i = segment.lane_begin[lane]; i < segment.lane_begin[lane + 1]; ++i) {
        const auto number = static_cast<std::size_t>(segment.ops[static_cast<std::size_t>(i)].draws);
        if (number >= lanes.size()) lanes.resize(number + 1);
        lanes[number] |= 1U << lane;
      }
    }
  }
  MostDrawn most(kinds);
  for (std::size_t number = 0; number < lanes.size(); ++number) {
    for (const Demand& d : store.draws()[static_cast<std::int32_t>(number)].demands) {
      auto& by_lane = most[static_cast<std::size_t>(d.resource)];
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        if ((lanes[number] >> lane & 1U) != 0) by_lane[lane] = std::max(by_lane[lane], d.amount);
      }
    }
  }
  return most;
}

}  // namespace

ResourceKinds::ResourceKinds(const std::vector<Resource>& resources, const SegmentStore& store, int ranks)
    : resources_(resources) {
  for (Resource& r : resources_) r.ranks = r.ranks > 0 ? r.ranks : ranks;
  const MostDrawn most = find_most_drawn(store, resources.size());
  std::vector<std::uint32_t> lanes;
  std::vector<char> is_shared;
  for (std::size_t kind = 0; kind < resources_.size(); ++kind) {
    double all = 0;
    std::uint32_t drawing = 0;
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      all += most[kind][lane] * resources_[kind].ranks;
      if (most[kind][lane] > 0) drawing |= 1U << lane;
    }
    lanes.push_back(drawing);
    is_shared.push_back(all > resources_[kind].capacity * (1 + 1e-9) ? 1 : 0);
  }
  for (std::int32_t number = 0; number < store.draws().size(); ++number) {
    add_use(store.draws()[number], lanes, is_shared);
  }
}

void ResourceKinds::add_use(const Draws& draws, const std::vector<std::uint32_t>& lanes,
                            const std::vector<char>& is_shared) {
  Use use;
  use.goes_first = draws.goes_first;
  for (const Demand& d : draws.demands) {
    const auto kind = static_cast<std::size_t>(d.resource);
    if (is_shared[kind] == 0) continue;
    use.demands.push_back(d);
    use.lanes |= lanes[kind];
    use.own_only = use.own_only && resources_[kind].ranks == 1 && d.amount <= resources_[kind].capacity;
  }
  uses_.push_back(std::move(use));
}

std::vector<int> sharing_sizes(const std::vector<Resource>& resources, int ranks) {
  std::vector<int> sizes;
  for (const Resource& r : resources) sizes.push_back(r.ranks > 0 ? r.ranks : ranks);
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  if (!sizes.empty() && sizes.front() == 1) sizes.erase(sizes.begin());
  return sizes;
}

ClassPlaces place_classes(const std::vector<Resource>& resources, const RankPartition& partition) {
  ClassPlaces placed;
  const int all = static_cast<int>(partition.of.size());
  std::map<std::pair<std::size_t, int>, int> known;  // by kind and list of classes
  for (int c = 0; c < partition.size(); ++c) {
    for (std::size_t kind = 0; kind < resources.size(); ++kind) {
      int list = c;
      double ranks = 1;
      const int sharing = resources[kind].ranks > 0 ? resources[kind].ranks : all;
      if (sharing > 1) {
        const auto& groups = partition.groups[static_cast<std::size_t>(c)];
        const std::string name = sharing_group(sharing);
        const auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.name == name; });
        SS_CHECK(group != groups.end(), name);
        list = group->list;
        ranks = static_cast<double>(std::count(group->classes.begin(), group->classes.end(), c));
      }
      const auto [it, is_new] = known.try_emplace({kind, list}, static_cast<int>(placed.capacity.size()));
      if (is_new) placed.capacity.push_back(resources[kind].capacity);
      placed.places.push_back({it->second, ranks});
    }
  }
  return placed;
}

ClassResources::ClassResources(const ResourceKinds& kinds, const RankPartition& partition)
    : kinds_(kinds), placed_(place_classes(kinds.resources(), partition)) {}

const Draws& ClassResources::draws_of(int rank_class, std::int32_t number) {
  return draws_of(std::vector<std::pair<int, std::int32_t>>{{rank_class, number}});
}

const Draws& ClassResources::draws_of(const std::vector<std::pair<int, std::int32_t>>& members) {
  const auto [it, is_new] = known_.try_emplace(members);
  if (!is_new) return it->second;
  std::map<int, double> drawn;
  for (const auto& [rank_class, number] : members) {
    const ResourceKinds::Use& use = kinds_.use(number);
    it->second.goes_first = it->second.goes_first || use.goes_first;
    for (const Demand& d : use.demands) {
      const ClassPlace& place = at(rank_class, d.resource);
      drawn[place.resource] += d.amount * place.ranks;
    }
  }
  for (const auto& [resource, amount] : drawn) it->second.demands.push_back({resource, amount});
  return it->second;
}

}  // namespace shardscope
