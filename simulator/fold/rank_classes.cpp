#include "simulator/fold/rank_classes.h"

#include <algorithm>
#include <unordered_map>

#include "core/program/lower.h"

namespace shardscope {

namespace {

struct HashInts {
  std::size_t operator()(const std::vector<std::int64_t>& v) const {
    std::size_t h = v.size();
    for (std::int64_t x : v) h = (h ^ static_cast<std::size_t>(x)) * 0x9E3779B97F4A7C15ULL + (h >> 29);
    return h;
  }
};

/// Numbers lists of integers in the order in which they come.
class Numbers {
 public:
  int of(const std::vector<std::int64_t>& key) {
    return known_.try_emplace(key, static_cast<int>(known_.size())).first->second;
  }
  int size() const { return static_cast<int>(known_.size()); }

 private:
  std::unordered_map<std::vector<std::int64_t>, int, HashInts> known_;
};

/// All groups of the job once each, and which each rank is in.
struct AllGroups {
  std::vector<Group> groups;  // `self` means nothing here
  std::vector<int> links;     // by group: equal where its ranks lie on nodes in the same way
  std::vector<std::vector<int>> of_rank;
  std::vector<std::vector<int>> self;
};

// Which places share a node (or something else), and which have the same place in theirs.
std::vector<std::int64_t> describe_links(const Group& group, int per_node, const std::vector<int>& sharing) {
  std::vector<std::int64_t> text;
  const auto describe = [&](auto place_of) {
    std::map<int, std::int64_t> known;
    for (int rank : group.ranks) text.push_back(known.try_emplace(place_of(rank), known.size()).first->second);
  };
  describe([&](int rank) { return rank / per_node; });
  describe([&](int rank) { return rank % per_node; });
  for (int ranks : sharing) describe([&](int rank) { return rank / ranks; });
  return text;
}

std::vector<Group> groups_of(const Job& job, int rank, const std::vector<int>& sharing) {
  std::vector<Group> groups = rank_groups(job, rank);
  for (int ranks : sharing) {
    const int first = rank / ranks * ranks;
    Group group{sharing_group(ranks), {}, rank - first};
    for (int r = first; r < std::min(first + ranks, job.parallel.ranks()); ++r) group.ranks.push_back(r);
    groups.push_back(std::move(group));
  }
  return groups;
}

AllGroups list_groups(const Job& job, int per_node, const std::vector<int>& sharing) {
  AllGroups all;
  Numbers links;
  std::map<std::pair<std::string, int>, int> known;  // ranks of one name are dealt out: the first one tells the group
  for (int rank = 0; rank < job.parallel.ranks(); ++rank) {
    auto& mine = all.of_rank.emplace_back();
    auto& self = all.self.emplace_back();
    for (Group& group : groups_of(job, rank, sharing)) {
      self.push_back(group.self);
      const auto [it, is_new] =
          known.try_emplace({group.name, group.ranks.front()}, static_cast<int>(all.groups.size()));
      if (is_new) {
        all.links.push_back(links.of(describe_links(group, per_node, sharing)));
        all.groups.push_back(std::move(group));
      }
      mine.push_back(it->second);
    }
  }
  return all;
}

std::vector<int> group_lists(const AllGroups& all, const std::vector<int>& color) {
  Numbers lists;
  std::vector<int> of;
  std::vector<std::int64_t> key;
  for (std::size_t g = 0; g < all.groups.size(); ++g) {
    key.assign({all.links[g]});
    for (int rank : all.groups[g].ranks) key.push_back(color[static_cast<std::size_t>(rank)]);
    of.push_back(lists.of(key));
  }
  return of;
}

// Splits classes until ranks of one class have groups that list the same classes.
std::vector<int> refine(const AllGroups& all, std::vector<int> color) {
  for (int before = -1;;) {
    const std::vector<int> lists = group_lists(all, color);
    Numbers colors;
    std::vector<std::int64_t> key;
    for (std::size_t rank = 0; rank < color.size(); ++rank) {
      key.assign({color[rank]});
      for (int g : all.of_rank[rank]) key.push_back(lists[static_cast<std::size_t>(g)]);
      color[rank] = colors.of(key);
    }
    if (colors.size() == before) return color;
    before = colors.size();
  }
}

RankPartition make_partition(const AllGroups& all, std::vector<int> color) {
  RankPartition partition;
  for (std::size_t rank = 0; rank < color.size(); ++rank) {
    if (color[rank] == partition.size()) {
      partition.first.push_back(static_cast<int>(rank));
      partition.members.push_back(0);
    }
    ++partition.members[static_cast<std::size_t>(color[rank])];
  }
  const std::vector<int> lists = group_lists(all, color);
  for (int first : partition.first) {
    const auto rank = static_cast<std::size_t>(first);
    auto& groups = partition.groups.emplace_back();
    for (std::size_t i = 0; i < all.of_rank[rank].size(); ++i) {
      const auto g = static_cast<std::size_t>(all.of_rank[rank][i]);
      ClassGroup group{all.groups[g].name, all.self[rank][i], lists[g], {}, 0};
      for (int member : all.groups[g].ranks) group.classes.push_back(color[static_cast<std::size_t>(member)]);
      std::vector<int> sorted = group.classes;
      std::sort(sorted.begin(), sorted.end());
      group.distinct = static_cast<int>(std::unique(sorted.begin(), sorted.end()) - sorted.begin());
      groups.push_back(std::move(group));
    }
  }
  partition.of = std::move(color);
  return partition;
}

}  // namespace

std::string sharing_group(int ranks) { return "sharing " + std::to_string(ranks); }

RankClasses find_rank_classes(const Job& job, const ClusterSpec& cluster, const std::vector<int>& sharing) {
  const AllGroups all = list_groups(job, cluster.devices_per_node, sharing);
  RankKinds kinds(job);
  Numbers early, late;
  std::vector<int> coarse, fine;
  std::vector<RankKind> kind;
  std::vector<std::vector<std::int64_t>> study;
  for (int rank = 0; rank < job.parallel.ranks(); ++rank) {
    kind.push_back(kinds.of(rank));
    auto& key = study.emplace_back(kind.back().place);
    key.push_back(kind.back().layers);
    for (int g : all.of_rank[static_cast<std::size_t>(rank)]) key.push_back(all.links[static_cast<std::size_t>(g)]);
    std::vector<std::int64_t> with_stage = key;
    with_stage.push_back(kind.back().pipeline_rank);
    coarse.push_back(early.of(with_stage));
    with_stage.push_back(kind.back().slices);
    fine.push_back(late.of(with_stage));
  }
  RankClasses classes;
  classes.coarse = make_partition(all, refine(all, std::move(coarse)));
  // A fine class lies within one coarse class: what the prefix tells apart, the whole does too.
  for (std::size_t rank = 0; rank < fine.size(); ++rank) {
    fine[rank] = fine[rank] * classes.coarse.size() + classes.coarse.of[rank];
  }
  classes.fine = make_partition(all, refine(all, std::move(fine)));
  for (int first : classes.fine.first) {
    classes.coarse_of.push_back(classes.coarse.of[static_cast<std::size_t>(first)]);
    classes.kind.push_back(kind[static_cast<std::size_t>(first)]);
  }
  for (int first : classes.coarse.first) classes.study.push_back(study[static_cast<std::size_t>(first)]);
  return classes;
}

}  // namespace shardscope
