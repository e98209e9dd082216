#include "simulator/fold/chance_waits.h"

#include <algorithm>
#include <array>
#include <unordered_set>

#include "core/program/clocks.h"

namespace shardscope {

namespace {

std::size_t index_of(BufferId id) { return static_cast<std::size_t>(id.index); }

// By buffer: whether another lane than compute touches it.
std::vector<char> find_pooled(const Program& program) {
  std::vector<char> pooled(program.buffers.size(), 0);
  for (const Instruction& in : program.instructions) {
    if (in.lane == Lane::kCompute || is_memory_op(in.op)) continue;
    for_each_access(in.op, [&](const char*, const Region& r, Access) { pooled[index_of(r.buffer)] = 1; });
  }
  return pooled;
}

// Ops of the compute lane stand for all before them.
class Finder {
 public:
  explicit Finder(const Program& program)
      : program_(program),
        pooled_(find_pooled(program)),
        holes_until_(program.buffers.size(), -1),
        writes_(program.buffers.size()) {
    given_back_.fill(-1);
    by_lane_.fill(-1);
  }

  std::vector<std::int32_t> run() {
    std::vector<std::int32_t> found;
    for (const Instruction& in : program_.instructions) {
      const auto i = static_cast<std::int32_t>(&in - program_.instructions.data());
      if (const auto* alloc = std::get_if<Alloc>(&in.op)) {
        take(alloc->buffer);
      } else if (const auto* free = std::get_if<Free>(&in.op)) {
        give_back(free->buffer);
      } else if (in.lane == Lane::kCompute) {
        last_ = i;
        note_writes(in, i);
      } else if (const std::int32_t after = known_after(in); note_writes(in, after) > after) {
        found.push_back(i);
      }
    }
    return found;
  }

 private:
  // The latest write to a buffer, and the op of the compute lane that it is known to come after, or is.
  struct Write {
    std::int64_t begin = 0, end = 0;
    std::int32_t after = -1;
  };

  void take(BufferId id) {
    const Buffer& b = program_.buffer(id);
    if (pooled_[index_of(id)] == 0) return;
    const auto space = static_cast<std::size_t>(b.space);
    if (in_pools_[space].insert(b.address).second) holes_until_[index_of(id)] = given_back_[space];
  }

  // Right behind its last use, which is the compute lane's.
  void give_back(BufferId id) {
    if (pooled_[index_of(id)] == 0) given_back_[static_cast<std::size_t>(program_.buffer(id).space)] = last_;
  }

  // By what the op reads and writes and its lane's order, wherever that lies.
  std::int32_t known_after(const Instruction& in) {
    std::int32_t& after = by_lane_[static_cast<std::size_t>(in.lane)];
    for_each_access(in.op, [&](const char*, const Region& r, Access) {
      const Write& w = writes_[index_of(r.buffer)];
      if (w.begin < r.end() && r.offset < w.end) after = std::max(after, w.after);
    });
    return after;
  }

  // The last op that may have had the bytes that it writes.
  std::int32_t note_writes(const Instruction& in, std::int32_t after) {
    std::int32_t holes_until = -1;
    for_each_access(in.op, [&](const char*, const Region& r, Access access) {
      if (access == Access::kRead) return;
      writes_[index_of(r.buffer)] = {r.offset, r.end(), after};
      holes_until = std::max(holes_until, holes_until_[index_of(r.buffer)]);
    });
    return holes_until;
  }

  const Program& program_;
  std::vector<char> pooled_;
  std::vector<std::int32_t> holes_until_;  // by buffer: who may have left the hole that it took; -1: nobody
  std::vector<Write> writes_;              // by buffer
  std::array<std::unordered_set<std::int64_t>, kSpaces> in_pools_;  // addresses
  std::array<std::int32_t, kSpaces> given_back_;                    // the last op whose buffer went back to holes
  std::array<std::int32_t, kLanes> by_lane_;                        // what its ops are known to come after
  std::int32_t last_ = -1;                                          // of the compute lane
};

}  // namespace

std::vector<std::int32_t> find_chance_waits(const Program& program) {
  const auto is_pipeline = [](const Group& group) { return group.name == "pp"; };
  if (std::none_of(program.groups.begin(), program.groups.end(), is_pipeline)) return {};
  return Finder(program).run();
}

}  // namespace shardscope
