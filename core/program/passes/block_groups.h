#pragma once
// The transformer blocks that forget and compute again together (job key "recompute": every n-th block keeps its
// input), and where their ops are.
//
//   for (const auto& [key, group] : find_block_groups(draft)) use(group.forward, group.backward);

#include <map>
#include <utility>
#include <vector>

#include "core/program/passes/draft.h"

namespace shardscope {

/// Positions of the ops of a group's blocks in one micro-batch, rising.
struct BlockGroup {
  std::vector<std::size_t> forward, recompute, backward;

  /// Where the way back begins.
  std::size_t first_back() const { return recompute.empty() ? backward.front() : recompute.front(); }
};

/// By first layer and micro-batch. A group does not reach over the end of a model chunk. Groups without backward (of
/// another rank's making) are left out.
std::map<std::pair<int, int>, BlockGroup> find_block_groups(const Draft& draft);

}  // namespace shardscope
