#include "core/program/passes/block_groups.h"

namespace shardscope {
namespace {

/// The first layer of the group that a layer belongs to.
int first_layer(const Draft& draft, int layer) {
  const auto every = static_cast<int>(draft.job->recompute_every);
  for (const StageSpan& span : draft.stages) {
    if (layer < span.first_block || layer >= span.end_block) continue;
    return span.first_block + (layer - span.first_block) / every * every;
  }
  return layer;
}

}  // namespace

std::map<std::pair<int, int>, BlockGroup> find_block_groups(const Draft& draft) {
  std::map<std::pair<int, int>, BlockGroup> groups;
  for (std::size_t i = 0; i < draft.program.instructions.size(); ++i) {
    const Label& label = draft.program.instructions[i].label;
    if (label.layer < 0) continue;
    BlockGroup& group = groups[{first_layer(draft, label.layer), label.micro_batch}];
    if (label.phase == Phase::kForward) group.forward.push_back(i);
    if (label.phase == Phase::kRecompute) group.recompute.push_back(i);
    if (label.phase == Phase::kBackward) group.backward.push_back(i);
  }
  std::erase_if(groups, [](const auto& entry) { return entry.second.backward.empty(); });
  return groups;
}

}  // namespace shardscope
