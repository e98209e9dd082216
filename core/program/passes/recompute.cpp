// recompute: activation checkpointing. Drops what a block kept for its backward and computes it again just before.
// Before: forward and backward of every block. After: a block (with recompute.every: the first of each group of blocks)
// keeps its input (full), or all but the outputs of attention (selective); copies of the forward ops that bring the
// rest back stand before its backward, in phase recompute. After layers, whose ops it copies; before zero, which must
// see that parameters are used once more. The copies compute the same bits, so nothing but memory and time changes.

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/program/passes/block_groups.h"

namespace shardscope {
namespace {

class Recomputer {
 public:
  explicit Recomputer(Draft& draft)
      : draft_(draft), program_(draft.program), selective_(draft.job->recompute == Recompute::kSelective) {}

  void run() {
    std::map<std::size_t, std::vector<Instruction>> before;
    for (const auto& [key, block] : find_block_groups(draft_)) before[block.backward.front()] = redo(block);
    std::vector<Instruction> merged;
    for (std::size_t i = 0; i < program_.instructions.size(); ++i) {
      const auto it = before.find(i);
      if (it != before.end()) std::move(it->second.begin(), it->second.end(), std::back_inserter(merged));
      merged.push_back(std::move(program_.instructions[i]));
    }
    program_.instructions = std::move(merged);
  }

 private:
  /// Copies of the forward ops that bring back what the block's backward needs; the backward then uses the copies.
  std::vector<Instruction> redo(const BlockGroup& block) {
    const std::set<BufferId> dropped = find_dropped(block);
    const std::vector<std::size_t> ops = find_ops(block, dropped);
    std::map<BufferId, BufferId> renamed;
    std::vector<Instruction> copies;
    for (std::size_t i : ops) {
      Instruction copy = program_.instructions[i];
      copy.label.phase = Phase::kRecompute;
      for_each_access(copy.op, [&](const char*, const Region& r, Access access) {
        if (access != Access::kRead) rename(r.buffer, renamed);
      });
      point_at(copy, renamed);
      copies.push_back(std::move(copy));
    }
    for (std::size_t i : block.backward) point_at(program_.instructions[i], renamed);
    return copies;
  }

  std::set<BufferId> written_by(const std::vector<std::size_t>& ops, bool attention_only) const {
    std::set<BufferId> written;
    for (std::size_t i : ops) {
      const Op& op = program_.instructions[i].op;
      if (attention_only && !std::holds_alternative<Attention>(op)) continue;
      for_each_access(op, [&](const char*, const Region& r, Access access) {
        if (access != Access::kRead) written.insert(r.buffer);
      });
    }
    return written;
  }

  /// What backward uses but forward shall not keep.
  std::set<BufferId> find_dropped(const BlockGroup& block) const {
    const std::set<BufferId> candidates = written_by(block.forward, selective_);
    std::set<BufferId> dropped;
    for (std::size_t i : block.backward) {
      for_each_access(program_.instructions[i].op, [&](const char*, const Region& r, Access) {
        if (candidates.contains(r.buffer)) dropped.insert(r.buffer);
      });
    }
    return dropped;
  }

  /// The forward ops that compute `dropped`, from the block's input and what is kept anyway.
  std::vector<std::size_t> find_ops(const BlockGroup& block, const std::set<BufferId>& dropped) const {
    const std::set<BufferId> inside = written_by(block.forward, false);
    std::set<BufferId> kept;
    for (std::size_t i : block.backward) {
      for_each_access(program_.instructions[i].op, [&](const char*, const Region& r, Access) {
        if (!dropped.contains(r.buffer)) kept.insert(r.buffer);
      });
    }
    std::set<BufferId> needed = dropped;
    std::vector<std::size_t> ops;
    for (auto it = block.forward.rbegin(); it != block.forward.rend(); ++it) {
      bool computes = false;
      for_each_access(program_.instructions[*it].op, [&](const char*, const Region& r, Access access) {
        computes = computes || (access != Access::kRead && needed.contains(r.buffer));
      });
      if (!computes) continue;
      ops.insert(ops.begin(), *it);
      for_each_access(program_.instructions[*it].op, [&](const char*, const Region& r, Access) {
        if (inside.contains(r.buffer) && !kept.contains(r.buffer)) needed.insert(r.buffer);
      });
    }
    add_holds(block, needed, ops);
    return ops;
  }

  /// What is computed again must be kept as long as the first time. A Hold comes after the ops that need its buffer.
  void add_holds(const BlockGroup& block, const std::set<BufferId>& needed, std::vector<std::size_t>& ops) const {
    for (std::size_t i : block.forward) {
      const auto* hold = std::get_if<Hold>(&program_.instructions[i].op);
      if (hold == nullptr || !needed.contains(hold->data.buffer)) continue;
      const auto at = std::lower_bound(ops.begin(), ops.end(), i);
      if (at == ops.end() || *at != i) ops.insert(at, i);
    }
  }

  void rename(BufferId id, std::map<BufferId, BufferId>& renamed) {
    const auto [it, is_new] = renamed.try_emplace(id);
    if (!is_new) return;
    Buffer copy = program_.buffer(id);
    copy.name += ".again";
    it->second = program_.add_buffer(std::move(copy));
  }

  static void point_at(Instruction& in, const std::map<BufferId, BufferId>& renamed) {
    for_each_region(in.op, [&](Region& r) {
      const auto it = renamed.find(r.buffer);
      if (!r.empty() && it != renamed.end()) r.buffer = it->second;
    });
  }

  const Draft& draft_;
  Program& program_;
  bool selective_;
};

}  // namespace

void pass_recompute(Draft& draft) {
  if (draft.job->recompute != Recompute::kNone) Recomputer(draft).run();
}

}  // namespace shardscope
