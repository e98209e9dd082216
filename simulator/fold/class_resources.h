#pragma once
// What classes of ranks draw on: one resource for all sets of ranks alike that share one, from which a class draws what
// all its ranks on it do. Speeds are then those of the whole job, to the last bit (sharing.h).
//
//   const ResourceKinds kinds(costs.resources(), store, ranks);
//   ClassResources resources(kinds, partition);
//   const Draws& draws = resources.draws_of(rank_class, op.draws);

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "simulator/clock/cost_table.h"
#include "simulator/fold/rank_classes.h"
#include "simulator/fold/segment.h"

namespace shardscope {

/// Resources of a cost model, and what the ops of a job want of them.
class ResourceKinds {
 public:
  /// What ops of one number draw (SegmentStore::draws) of that which all lanes together can use up.
  struct Use {
    std::vector<Demand> demands;
    bool goes_first = false;
    bool own_only = true;     ///< of what the rank shares with no other, and fits
    std::uint32_t lanes = 0;  ///< own_only: which draw on any of it
  };

  ResourceKinds(const std::vector<Resource>& resources, const SegmentStore& store, int ranks);

  const Use& use(std::int32_t number) const { return uses_[static_cast<std::size_t>(number)]; }
  int size() const { return static_cast<int>(resources_.size()); }
  const std::vector<Resource>& resources() const { return resources_; }  ///< `ranks` above 0

 private:
  void add_use(const Draws& draws, const std::vector<std::uint32_t>& lanes, const std::vector<char>& is_shared);

  std::vector<Resource> resources_;
  std::vector<Use> uses_;
};

/// Sizes of sets of ranks that share something, each once, without 1: for find_rank_classes().
std::vector<int> sharing_sizes(const std::vector<Resource>& resources, int ranks);

/// Which resource a class draws on, and how many of its ranks draw on one of it.
struct ClassPlace {
  int resource = 0;
  double ranks = 1;
};
struct ClassPlaces {
  std::vector<ClassPlace> places;  ///< class by class, by kind
  std::vector<double> capacity;    ///< by resource
};
/// `resources` of a cost model; ranks 0: all of the job's.
ClassPlaces place_classes(const std::vector<Resource>& resources, const RankPartition& partition);

class ClassResources {
 public:
  ClassResources(const ResourceKinds& kinds, const RankPartition& partition);

  const std::vector<double>& capacity() const { return placed_.capacity; }
  int resource(int rank_class, int kind) const { return at(rank_class, kind).resource; }

  /// Both stay where they are.
  const Draws& draws_of(int rank_class, std::int32_t number);
  const Draws& draws_of(const std::vector<std::pair<int, std::int32_t>>& members);  ///< of a meeting: class, number

 private:
  const ClassPlace& at(int rank_class, int kind) const {
    return placed_.places[static_cast<std::size_t>(rank_class) * static_cast<std::size_t>(kinds_.size()) +
                          static_cast<std::size_t>(kind)];
  }

  const ResourceKinds& kinds_;
  ClassPlaces placed_;
  std::map<std::vector<std::pair<int, std::int32_t>>, Draws> known_;
};

}  // namespace shardscope
