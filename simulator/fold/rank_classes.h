#pragma once
// Ranks of a job that a simulation cannot tell apart: same program, same links, and neighbours that are alike in turn.
//
//   RankClasses classes = find_rank_classes(job, cluster, {});
//   classes.fine.members[c], classes.fine.first[c]
//
// Two ranks are of one class if their programs differ only in names, offsets and rank numbers (RankKind), each of
// their groups crosses nodes (and sets of ranks that share something) in the same way, and each of their groups, and
// of their sets that share, lists, place by place, ranks of the same classes. Ops then start, are slowed and end at the
// same times on both, by induction over the instants at which something starts or ends: so one stands for all.

#include <map>
#include <string>
#include <vector>

#include "core/program/rank_kind.h"
#include "core/spec/cluster_spec.h"

namespace shardscope {

/// A group as one of its ranks sees it.
struct ClassGroup {
  std::string name;
  int self = 0;
  int list = 0;              ///< equal for groups of one name that list the same classes
  std::vector<int> classes;  ///< of its ranks, in order
  int distinct = 0;
};

struct RankPartition {
  std::vector<int> of;                          ///< class by rank
  std::vector<int> first;                       ///< by class: its lowest rank, which stands for it
  std::vector<int> members;                     ///< by class: number of ranks
  std::vector<std::vector<ClassGroup>> groups;  ///< by class: those of its lowest rank
  int size() const { return static_cast<int>(first.size()); }
};

struct RankClasses {
  RankPartition fine;
  RankPartition coarse;        ///< up to what the optimizer's step makes of each rank's slices
  std::vector<int> coarse_of;  ///< by fine class
  std::vector<RankKind> kind;  ///< by fine class
  /// By coarse class: equal where programs and links are, whatever the pipeline rank.
  std::vector<std::vector<std::int64_t>> study;
};

/// Of those that share a resource with so many ranks in a row: a group of that name.
std::string sharing_group(int ranks);

/// `sharing`: sizes of sets of ranks in a row that share a resource; larger than 1.
RankClasses find_rank_classes(const Job& job, const ClusterSpec& cluster, const std::vector<int>& sharing);

}  // namespace shardscope
