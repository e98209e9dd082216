#pragma once
// Which ranks of a job have the same program: what lower() makes of a rank's place, beyond the numbers of its peers.
//
//   RankKinds kinds(job);
//   if (kinds.of(3) == kinds.of(7)) ...  // programs that differ in names, offsets and the ranks of groups only
//
// Knows what the passes read of a place, and says so next to each part. Checked by lowering every rank of random jobs
// (tests/fold_test.cpp): what a pass newly makes of a rank's number shows there, and belongs here.

#include <compare>
#include <cstdint>
#include <map>
#include <vector>

#include "core/program/passes/draft.h"
#include "core/program/passes/zero_plan.h"

namespace shardscope {

struct RankKind {
  int pipeline_rank = 0;
  int layers = 0;  ///< equal for pipeline ranks whose stages hold the same layers
  /// Of all but the optimizer's step: what the rank is for its tensor-parallel, sequence and expert neighbours.
  std::vector<std::int64_t> place;
  /// Of the optimizer's step (and sums right before it): what lies in the rank's slices of the flat buffers.
  int slices = 0;
  friend auto operator<=>(const RankKind&, const RankKind&) = default;
};

class RankKinds {
 public:
  explicit RankKinds(const Job& job);
  RankKind of(int rank);

 private:
  /// Parameters in chunks, as the rank has them: enough to know every other rank's slices.
  struct Layout {
    Draft draft;
    std::vector<Chunk> chunks;
  };

  void find_layers();
  std::vector<std::int64_t> slices_of(const Layout& layout, int rank) const;

  const Job& job_;
  ZeroPlan plan_;
  std::vector<int> layers_;         ///< by pipeline rank
  std::vector<std::int64_t> ends_;  ///< by pipeline rank: whether it has the embedding or the head
  std::map<std::vector<std::int64_t>, Layout> layouts_;
  std::map<std::vector<std::int64_t>, int> shapes_, known_;
};

}  // namespace shardscope
