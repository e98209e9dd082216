#include "simulator/clock/cost_table.h"

#include <algorithm>
#include <cstring>

namespace shardscope {

namespace {

// More than any op takes; keeps absurd machine files from overflowing the clock's 64 bits.
constexpr Seconds kLongestOp(1e5);

// Everything of an op that its cost can depend on, as bytes: attributes, operand sizes, types and spaces, the ranks of
// its group. Where operands lie in memory is left out.
class CostKey {
 public:
  CostKey(const Program& program, const std::vector<std::int32_t>& groups, std::string& key)
      : program_(program), groups_(groups), key_(key) {}

  void buffer(const char*, BufferId) {}
  void group(const char*, GroupId id) { append(groups_[static_cast<std::size_t>(id.index)]); }
  void read(const char*, const Region& r) { region(r); }
  void write(const char*, const Region& r) { region(r); }
  void update(const char*, const Region& r) { region(r); }
  void write_or_update(const char*, const Region& r, bool) { region(r); }
  template <class T>
  void attr(const char*, const T& value) {
    append(value);
  }

  template <class T>
  void append(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    key_.append(bytes, sizeof(T));
  }

 private:
  void region(const Region& r) {
    append(r.count);
    if (r.empty()) return;
    append(program_.buffer(r.buffer).dtype);
    append(program_.buffer(r.buffer).space);
  }

  const Program& program_;
  const std::vector<std::int32_t>& groups_;
  std::string& key_;
};

}  // namespace

void CostTable::begin(const Program& program) {
  program_ = &program;
  group_ids_.clear();
  for (const Group& group : program.groups) {
    group_ids_.push_back(groups_.try_emplace(group.ranks, static_cast<std::int32_t>(groups_.size())).first->second);
  }
}

OpTime CostTable::of(const Instruction& instruction) {
  key_.clear();
  CostKey key(*program_, group_ids_, key_);
  key.append(instruction.op.index());
  key.append(instruction.lane);
  std::visit([&](const auto& op) { std::decay_t<decltype(op)>::fields(op, key); }, instruction.op);
  if (const auto found = cached_.find(key_); found != cached_.end()) return found->second;
  const OpCost cost = costs_.cost(*program_, instruction);
  const Seconds time = std::clamp(cost.seconds.total(), Seconds(0), kLongestOp);
  const Seconds crowded = std::clamp(cost.crowded, Seconds(0), kLongestOp);
  const OpTime entry{to_ns(time), to_ns(crowded), draws_.intern({cost.demands, cost.goes_first})};
  cached_.emplace(key_, entry);
  return entry;
}

std::int32_t DrawsTable::intern(Draws draws) {
  const auto [it, is_new] = known_.try_emplace(draws, static_cast<std::int32_t>(list_.size()));
  if (is_new) list_.push_back(std::move(draws));
  return it->second;
}

}  // namespace shardscope
