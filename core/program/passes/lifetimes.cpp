// lifetimes: when each buffer's memory is taken and given back, and where it lies.
// Before: ops on buffers without address. After: every buffer that is not persistent has one Alloc, just before its
// first use, and one Free, just after its last; every buffer has an address (where a drive reads or writes it: at a
// multiple of its blocks; in a pipeline, what lanes hand on: from pools by size; what ZeRO++ sends: apart), and
// arena_bytes is the extent of each space. After every pass that adds ops or buffers; before order, because sharing
// bytes makes ops depend on each other.

#include <map>

#include "core/check.h"
#include "core/program/passes/draft.h"

namespace shardscope {
namespace {

/// First and last instruction that touches each buffer; SIZE_MAX if none does.
struct Uses {
  std::vector<std::size_t> first, last;
};

Uses find_uses(Program& program) {
  Uses uses{std::vector(program.buffers.size(), SIZE_MAX), std::vector(program.buffers.size(), SIZE_MAX)};
  for (std::size_t i = 0; i < program.instructions.size(); ++i) {
    for_each_region(program.instructions[i].op, [&](Region& region) {
      if (region.empty()) return;
      const auto b = static_cast<std::size_t>(region.buffer.index);
      if (uses.first[b] == SIZE_MAX) uses.first[b] = i;
      uses.last[b] = i;
    });
  }
  return uses;
}

void insert_allocs_and_frees(Program& program) {
  const Uses uses = find_uses(program);
  std::vector<std::vector<BufferId>> starting(program.instructions.size()), ending(program.instructions.size());
  for (std::size_t b = 0; b < program.buffers.size(); ++b) {
    if (program.buffers[b].persistent || uses.first[b] == SIZE_MAX) continue;
    const BufferId id{static_cast<std::int32_t>(b)};
    starting[uses.first[b]].push_back(id);
    ending[uses.last[b]].push_back(id);
  }
  std::vector<Instruction> out;
  out.reserve(program.instructions.size() + 2 * program.buffers.size());
  for (std::size_t i = 0; i < program.instructions.size(); ++i) {
    Instruction& in = program.instructions[i];
    const Lane lane = in.lane;
    const Label label = in.label;
    for (BufferId id : starting[i]) out.push_back({Alloc{id}, lane, label, {}});
    out.push_back(std::move(in));
    for (BufferId id : ending[i]) out.push_back({Free{id}, lane, label, {}});
  }
  program.instructions = std::move(out);
}

/// Free ranges of one space; takes the lowest that is large enough, else grows. What is given back to a pool stays of
/// its size: the last one given back is taken again first.
class AddressSpace {
 public:
  std::int64_t take_pooled(std::int64_t bytes, std::int64_t alignment) {
    std::vector<std::int64_t>& pool = pools_[{bytes, alignment}];
    if (pool.empty()) return take(bytes, alignment);
    const std::int64_t start = pool.back();
    pool.pop_back();
    return start;
  }
  void give_back_pooled(std::int64_t start, std::int64_t bytes, std::int64_t alignment) {
    pools_[{bytes, alignment}].push_back(start);
  }

  std::int64_t take(std::int64_t bytes, std::int64_t alignment) {
    for (auto it = free_.begin(); it != free_.end(); ++it) {
      const auto [begin, size] = *it;
      const std::int64_t start = round_up(begin, alignment), end = begin + size;
      if (end - start < bytes) continue;
      free_.erase(it);
      if (start > begin) free_[begin] = start - begin;
      if (end > start + bytes) free_[start + bytes] = end - start - bytes;
      return start;
    }
    std::int64_t begin = end_;
    if (!free_.empty() && free_.rbegin()->first + free_.rbegin()->second == end_) {  // grow the last free range
      begin = free_.rbegin()->first;
      free_.erase(begin);
    }
    const std::int64_t start = round_up(begin, alignment);
    if (start > begin) free_[begin] = start - begin;
    end_ = start + bytes;
    return start;
  }

  void give_back(std::int64_t start, std::int64_t bytes) {
    auto next = free_.lower_bound(start);
    if (next != free_.end() && start + bytes == next->first) {
      bytes += next->second;
      next = free_.erase(next);
    }
    if (next != free_.begin()) {
      const auto before = std::prev(next);
      if (before->first + before->second == start) {
        before->second += bytes;
        return;
      }
    }
    free_[start] = bytes;
  }

  std::int64_t end() const { return end_; }

  /// Behind all that was ever taken.
  std::int64_t append(std::int64_t bytes, std::int64_t alignment) {
    const std::int64_t start = round_up(end_, alignment);
    end_ = start + bytes;
    return start;
  }

 private:
  static std::int64_t round_up(std::int64_t at, std::int64_t alignment) {
    return (at + alignment - 1) / alignment * alignment;
  }
  std::map<std::int64_t, std::int64_t> free_;  ///< start -> bytes; neighbours are joined
  std::map<std::pair<std::int64_t, std::int64_t>, std::vector<std::int64_t>> pools_;  ///< by bytes and alignment
  std::int64_t end_ = 0;
};

/// Puts what lies apart behind all else on the device.
void append_apart(Program& program, const std::vector<int>& owners, const std::array<AddressSpace, kLanes>& apart,
                  AddressSpace& device) {
  std::array<std::int64_t, kLanes> starts{};
  for (std::size_t lane = 0; lane < apart.size(); ++lane) {
    if (apart[lane].end() > 0) starts[lane] = device.append(apart[lane].end(), kAlignment);
  }
  for (std::size_t i = 0; i < owners.size(); ++i) {
    if (owners[i] >= 0) program.buffers[i].address += starts[static_cast<std::size_t>(owners[i])];
  }
}

/// By buffer: a drive transfers whole blocks, straight from and to memory that begins where a block could.
std::vector<std::int64_t> find_alignments(Program& program) {
  std::vector<std::int64_t> alignments(program.buffers.size(), kAlignment);
  for (Instruction& in : program.instructions) {
    if (!std::holds_alternative<NvmeRead>(in.op) && !std::holds_alternative<NvmeWrite>(in.op)) continue;
    for_each_region(in.op, [&](Region& r) { alignments[static_cast<std::size_t>(r.buffer.index)] = kNvmeAlignment; });
  }
  return alignments;
}

/// In a pipeline, buffers that another lane than compute touches: see assign_addresses().
std::vector<bool> find_pooled(Draft& draft) {
  std::vector<bool> pooled(draft.program.buffers.size(), false);
  if (!draft.pipeline_group.valid()) return pooled;
  for (Instruction& in : draft.program.instructions) {
    if (in.lane == Lane::kCompute) continue;
    for_each_region(in.op, [&](Region& r) {
      if (!r.empty()) pooled[static_cast<std::size_t>(r.buffer.index)] = true;
    });
  }
  return pooled;
}

bool has_zero_plus_plus(const Job& job) {
  const ZeroSpec& zero = job.training.zero;
  return zero.hpz_partition_size > 1 || zero.quantized_weights || zero.quantized_gradients;
}

/// By buffer on the device: the lane that has it to itself, where that is one on which ZeRO++ packs, sends and keeps
/// second copies; below 0: none.
std::vector<int> find_owners(Draft& draft) {
  constexpr int kNobody = -1, kSeveral = -2;
  std::vector<int> owners(draft.program.buffers.size(), kNobody);
  if (!has_zero_plus_plus(*draft.job) || draft.pipeline_group.valid()) return owners;
  for (Instruction& in : draft.program.instructions) {
    const int lane = in.lane == Lane::kGather || in.lane == Lane::kReduce ? static_cast<int>(in.lane) : kSeveral;
    for_each_region(in.op, [&](Region& r) {
      if (r.empty()) return;
      int& owner = owners[static_cast<std::size_t>(r.buffer.index)];
      owner = owner == kNobody || owner == lane ? lane : kSeveral;
    });
  }
  for (std::size_t i = 0; i < owners.size(); ++i) {
    if (draft.program.buffers[i].space != Space::kDevice) owners[i] = kNobody;
  }
  return owners;
}

/// Whoever has bytes next waits for the lanes that had them. In a pipeline, with many micro-batches in flight, who that
/// is would depend on where the holes happen to be, and a message could begin early in one micro-batch and late in the
/// next. So buffers that several lanes touch have pools by size there, and the order of Allocs and Frees alone says
/// whose bytes each gets: it repeats with the schedule, which simulator/fold relies on. What ZeRO++ sends lies apart,
/// by lane: given back while the lane is still at work, it would have compute wait for it.
void assign_addresses(Draft& draft) {
  Program& program = draft.program;
  std::array<AddressSpace, kSpaces> spaces;
  const std::vector<std::int64_t> alignments = find_alignments(program);
  const std::vector<bool> pooled = find_pooled(draft);
  const std::vector<int> owners = find_owners(draft);
  std::array<AddressSpace, kLanes> apart;
  const auto space_of = [&](std::size_t i) -> AddressSpace& {
    return owners[i] >= 0 ? apart[static_cast<std::size_t>(owners[i])]
                          : spaces[static_cast<std::size_t>(program.buffers[i].space)];
  };
  const auto place = [&](BufferId id) {
    Buffer& b = program.buffer(id);
    const auto i = static_cast<std::size_t>(id.index);
    b.address = pooled[i] && !b.persistent ? space_of(i).take_pooled(b.bytes(), alignments[i])
                                           : space_of(i).take(b.bytes(), alignments[i]);
  };
  for (std::size_t i = 0; i < program.buffers.size(); ++i) {
    if (program.buffers[i].persistent) place(BufferId{static_cast<std::int32_t>(i)});
  }
  for (const Instruction& in : program.instructions) {
    if (const auto* alloc = std::get_if<Alloc>(&in.op)) {
      place(alloc->buffer);
    } else if (const auto* free = std::get_if<Free>(&in.op)) {
      const Buffer& b = program.buffer(free->buffer);
      const auto i = static_cast<std::size_t>(free->buffer.index);
      pooled[i] ? space_of(i).give_back_pooled(b.address, b.bytes(), alignments[i])
                : space_of(i).give_back(b.address, b.bytes());
    }
  }
  append_apart(program, owners, apart, spaces[static_cast<std::size_t>(Space::kDevice)]);
  for (std::size_t s = 0; s < kSpaces; ++s) program.arena_bytes[s] = spaces[s].end();
}

}  // namespace

void pass_lifetimes(Draft& draft) {
  drop_unused_buffers(draft);
  insert_allocs_and_frees(draft.program);
  assign_addresses(draft);
}

}  // namespace shardscope
