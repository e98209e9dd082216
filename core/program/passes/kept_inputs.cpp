// kept_inputs: where what recomputation keeps waits (activation_checkpointing.partition_activations,
// cpu_checkpointing). Before: the input of a group of blocks stays on the device, whole, from its forward to its
// backward. After: each tensor-parallel rank keeps its part of it (partitioned; they all have the same), and what is
// kept is copied to pinned memory after its last use in forward (offloaded). It comes back to the device when the group
// before (in time) begins its way back, so that the copy runs beside that, and is gathered just before its use. What
// would come back at once stays. After recompute, whose groups these are; before zero, which only looks at parameters
// and gradients.

#include <fmt/format.h>

#include <algorithm>

#include "core/program/passes/block_groups.h"

namespace shardscope {
namespace {

class KeptInputs {
 public:
  explicit KeptInputs(Draft& draft)
      : draft_(draft), p_(draft.program), before_(p_.instructions.size()), after_(p_.instructions.size()) {
    for (auto& [key, group] : find_block_groups(draft)) groups_.push_back(std::move(group));
    std::sort(groups_.begin(), groups_.end(),
              [](const BlockGroup& a, const BlockGroup& b) { return a.first_back() < b.first_back(); });
  }

  void run() {
    for (std::size_t g = 1; g < groups_.size(); ++g) {
      for (const BufferId id : kept_inputs(groups_[g])) move(id, groups_[g], groups_[g - 1].first_back());
    }
    merge();
  }

 private:
  template <class F>
  void for_each_use(const std::vector<std::size_t>& ops, F&& f) const {
    for (const std::size_t i : ops) {
      for_each_access(p_.instructions[i].op, [&](const char*, const Region& r, Access a) { f(r.buffer, a); });
    }
  }

  /// Activations from outside the group that its way back reads.
  std::vector<BufferId> kept_inputs(const BlockGroup& group) const {
    std::vector<bool> made(p_.buffers.size(), false), seen(p_.buffers.size(), false);
    for_each_use(group.forward, [&](BufferId id, Access a) {
      if (a != Access::kRead) made[index(id)] = true;
    });
    std::vector<BufferId> kept;
    for_each_use(group.forward, [&](BufferId id, Access) {
      const Buffer& b = p_.buffer(id);
      const bool is_input = !made[index(id)] && b.category == Category::kActivation && b.space == Space::kDevice;
      if (is_input && !seen[index(id)] && is_read_back(group, id)) kept.push_back(id);
      seen[index(id)] = true;
    });
    return kept;
  }

  bool is_read_back(const BlockGroup& group, BufferId input) const {
    bool reads = false;
    const auto look = [&](BufferId id, Access a) { reads = reads || (id == input && a == Access::kRead); };
    for_each_use(group.recompute, look);
    for_each_use(group.backward, look);
    return reads;
  }

  void move(BufferId id, const BlockGroup& group, std::size_t back_at) {
    const std::size_t first_back = group.first_back();
    std::size_t last = 0;  // use before the way back
    for (std::size_t i = 0; i < p_.instructions.size(); ++i) {
      bool uses = false, writes = false;
      for_each_access(p_.instructions[i].op, [&](const char*, const Region& r, Access a) {
        uses = uses || r.buffer == id;
        writes = writes || (r.buffer == id && a != Access::kRead);
      });
      if (writes && i >= first_back) return;
      if (uses && i < first_back) last = i;
    }
    if (back_at <= last) return;
    const bool partition = is_partitioned(id);
    Region kept = p_.whole(id);
    if (partition) kept = keep_part(kept, last);
    if (draft_.job->training.checkpointing.cpu_checkpointing) kept = keep_on_host(kept, last, back_at, first_back);
    if (kept == p_.whole(id)) return;
    if (partition) kept = gather(kept, id, first_back);
    for (std::size_t i = first_back; i < p_.instructions.size(); ++i) {
      for_each_region(p_.instructions[i].op, [&](Region& r) {
        if (!r.empty() && r.buffer == id) r.buffer = kept.buffer;
      });
    }
  }

  /// With sequence parallelism the ranks keep different rows already.
  bool is_partitioned(BufferId id) const {
    const Job& job = *draft_.job;
    return job.training.checkpointing.partition_activations && draft_.tensor_group.valid() && !job.parallel.sp &&
           p_.buffer(id).elements % job.parallel.tp == 0;
  }

  Region add(const char* what, BufferId like_id, std::int64_t elements, Space space) {
    const Buffer like = p_.buffer(like_id);
    return p_.whole(p_.add_buffer({fmt::format("{}.{}", what, like.name), like.dtype, elements, like.category, space}));
  }

  Region keep_part(Region whole, std::size_t last) {
    const Group& ranks = p_.group(draft_.tensor_group);
    const std::int64_t count = whole.count / ranks.size();
    const Region part = add("part", whole.buffer, count, Space::kDevice);
    after_[last].push_back(
        {Copy{whole.part(ranks.self * count, count), part}, Lane::kCompute, p_.instructions[last].label, {}});
    return part;
  }

  Region keep_on_host(Region kept, std::size_t last, std::size_t back_at, std::size_t first_back) {
    const Region host = add("host", kept.buffer, kept.count, Space::kPinned);
    const Region back = add("back", kept.buffer, kept.count, Space::kDevice);
    after_[last].push_back({Copy{kept, host}, Lane::kD2H, p_.instructions[last].label, {}});
    before_[back_at].push_back({Copy{host, back}, Lane::kH2D, p_.instructions[first_back].label, {}});
    return back;
  }

  Region gather(Region part, BufferId id, std::size_t first_back) {
    const Region whole = add("whole", id, p_.buffer(id).elements, Space::kDevice);
    before_[first_back].push_back(
        {AllGather{draft_.tensor_group, part, whole}, Lane::kTensor, p_.instructions[first_back].label, {}});
    return whole;
  }

  static std::size_t index(BufferId id) { return static_cast<std::size_t>(id.index); }

  void merge() {
    std::vector<Instruction> merged;
    for (std::size_t i = 0; i < p_.instructions.size(); ++i) {
      std::move(before_[i].begin(), before_[i].end(), std::back_inserter(merged));
      merged.push_back(std::move(p_.instructions[i]));
      std::move(after_[i].begin(), after_[i].end(), std::back_inserter(merged));
    }
    p_.instructions = std::move(merged);
  }

  Draft& draft_;
  Program& p_;
  std::vector<BlockGroup> groups_;  ///< in the order of their way back
  std::vector<std::vector<Instruction>> before_, after_;
};

}  // namespace

void pass_kept_inputs(Draft& draft) {
  const CheckpointingSpec& spec = draft.job->training.checkpointing;
  if (spec.cpu_checkpointing || spec.partition_activations) KeptInputs(draft).run();
}

}  // namespace shardscope
