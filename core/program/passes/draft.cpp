#include "core/program/passes/draft.h"

#include <algorithm>

namespace shardscope {

ExpertPart Draft::experts() const {
  const int all = static_cast<int>(job->model.experts);
  if (!expert_group.valid()) return {0, all, 1};
  const Group& group = program.group(expert_group);
  return {group.self * (all / group.size()), all / group.size(), group.size()};
}

void add_state(Program& program, const std::vector<ChunkMember>& members, StateRole role, Region home,
               std::int64_t first) {
  for (const ChunkMember& m : members) {
    const std::int64_t begin = std::max(m.offset, first), end = std::min(m.offset + m.count, first + home.count);
    if (begin < end)
      program.state.push_back({m.parameter, role, begin - m.offset, home.part(begin - first, end - begin)});
  }
}

std::vector<Region> parts_with_role(const Draft& draft, const std::vector<ChunkMember>& members, TensorRole role,
                                    Region region, std::int64_t first) {
  std::vector<Region> parts;
  for (const ChunkMember& m : members) {
    const std::int64_t begin = std::max(m.offset, first), end = std::min(m.offset + m.count, first + region.count);
    if (begin >= end || draft.roles[static_cast<std::size_t>(m.parameter)] != role) continue;
    const Region part = region.part(begin - first, end - begin);
    if (!parts.empty() && parts.back().end() == part.offset) {
      parts.back().count += part.count;
    } else {
      parts.push_back(part);
    }
  }
  return parts;
}

void drop_unused_buffers(Draft& draft) {
  Program& program = draft.program;
  std::vector<bool> used(program.buffers.size(), false);
  std::vector<Region*> regions{&program.loss, &program.grad_norm, &program.overflow, &program.next_tokens,
                               &program.logprobs};
  for (Instruction& in : program.instructions) {
    for_each_region(in.op, [&](Region& r) { regions.push_back(&r); });
  }
  for (StatePiece& piece : program.state) regions.insert(regions.end(), {&piece.home, &piece.scales});
  for (OptimizerShard& s : draft.shards) regions.insert(regions.end(), {&s.value, &s.gradient, &s.gather});
  std::erase_if(regions, [](const Region* r) { return r->empty(); });
  for (const Region* r : regions) used[static_cast<std::size_t>(r->buffer.index)] = true;

  std::vector<BufferId> moved(program.buffers.size());
  std::vector<Buffer> kept;
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) continue;
    moved[i] = BufferId{static_cast<std::int32_t>(kept.size())};
    kept.push_back(std::move(program.buffers[i]));
  }
  program.buffers = std::move(kept);
  for (Region* r : regions) r->buffer = moved[static_cast<std::size_t>(r->buffer.index)];
}

}  // namespace shardscope
