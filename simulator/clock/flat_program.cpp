#include "simulator/clock/flat_program.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <unordered_map>

#include "core/check.h"
#include "core/error.h"

namespace shardscope {

namespace {

// More than any op takes; keeps absurd machine files from overflowing the clock's 64 bits.
constexpr Seconds kLongestOp(1e5);

// Everything of an op that its cost can depend on, as bytes: attributes, operand sizes, types and spaces, group size.
// Where operands lie in memory is left out.
class CostKey {
 public:
  explicit CostKey(const Program& program, std::string& key) : program_(program), key_(key) {}

  void buffer(const char*, BufferId) {}
  void group(const char*, GroupId id) { append(program_.group(id).ranks.size()); }
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
  std::string& key_;
};

bool takes_no_time(const Op& op) {
  return std::holds_alternative<Alloc>(op) || std::holds_alternative<Free>(op) || std::holds_alternative<Hold>(op);
}

FlatKind kind_of(const Op& op) {
  if (std::holds_alternative<Hold>(op)) return FlatKind::kInstant;
  if (takes_no_time(op)) return FlatKind::kMemory;
  return is_communication(op) ? FlatKind::kMeeting : FlatKind::kWork;
}

TimeClass time_class_of(const Instruction& instruction) {
  if (is_communication(instruction.op)) return TimeClass::kCommunication;
  switch (instruction.lane) {
    case Lane::kH2D:
    case Lane::kD2H:
    case Lane::kNvmeRead:
    case Lane::kNvmeWrite:
    case Lane::kHost:
      return TimeClass::kOffload;
    case Lane::kCompute:
    case Lane::kGather:
    case Lane::kReduce:
    case Lane::kTensor:
    case Lane::kSendNext:
    case Lane::kRecvPrevious:
    case Lane::kSendPrevious:
    case Lane::kRecvNext:
    case Lane::kContext:
      break;
  }
  // Copies into and out of buckets on a communication lane belong to the communication they serve.
  if (instruction.lane != Lane::kCompute) return TimeClass::kCommunication;
  return instruction.label.phase == Phase::kOptimizer ? TimeClass::kOptimizer : TimeClass::kCompute;
}

struct CachedCost {
  std::int64_t duration_ns = 0, crowded_ns = 0;
  std::int32_t demands = 0;
};

// Costs of the ops seen so far, and the lists of demands they share.
class CostTable {
 public:
  CostTable(const CostModel& costs, FlatProgram& flat) : costs_(costs), flat_(flat) {
    flat_.demand_lists.emplace_back();
  }

  CachedCost of(const Program& program, const Instruction& instruction) {
    key_.clear();
    CostKey key(program, key_);
    key.append(instruction.op.index());
    key.append(instruction.lane);
    std::visit([&](const auto& op) { std::decay_t<decltype(op)>::fields(op, key); }, instruction.op);
    if (const auto found = cached_.find(key_); found != cached_.end()) return found->second;
    const OpCost cost = costs_.cost(program, instruction);
    const Seconds time = std::clamp(cost.seconds.total(), Seconds(0), kLongestOp);
    const Seconds crowded = std::clamp(cost.crowded, Seconds(0), kLongestOp);
    const CachedCost entry{to_ns(time), to_ns(crowded), intern(cost.demands)};
    cached_.emplace(key_, entry);
    return entry;
  }

  std::int32_t intern(const std::vector<Demand>& demands) {
    const auto found = std::find(flat_.demand_lists.begin(), flat_.demand_lists.end(), demands);
    if (found != flat_.demand_lists.end()) return static_cast<std::int32_t>(found - flat_.demand_lists.begin());
    flat_.demand_lists.push_back(demands);
    return static_cast<std::int32_t>(flat_.demand_lists.size()) - 1;
  }

 private:
  const CostModel& costs_;
  FlatProgram& flat_;
  std::string key_;
  std::unordered_map<std::string, CachedCost> cached_;
};

// Which collectives of different ranks are one: the i-th that each rank issues on one lane of one group, and the i-th
// send from a to b with the i-th receive of b from a.
struct Line {
  int expected = 0;                                      // members of each meeting
  std::map<int, std::vector<std::int32_t>> ops_by_rank;  // global rank -> op indices in order
};

std::string line_name(const Program& program, const Instruction& instruction, GroupId id, const std::string& pair) {
  const Group& group = program.group(id);
  std::string name = group.name + " lane " + std::string(to_string(meeting_lane(instruction.lane))) + pair + " ranks";
  for (int rank : group.ranks) name += ' ' + std::to_string(rank);
  return name;
}

class Flattener {
 public:
  Flattener(std::span<const Program> ranks, const CostModel& costs, bool with_memory)
      : ranks_(ranks), costs_(costs), with_memory_(with_memory), table_(costs, flat_) {}

  FlatProgram run() {
    for (const Resource& resource : costs_.resources()) flat_.capacity.push_back(resource.capacity);
    flat_.wake_ns = to_ns(costs_.wake_latency());
    flat_.step_overhead_ns = to_ns(costs_.step_overhead());
    flat_.first_op.push_back(0);
    flat_.first_queue.push_back(0);
    for (const Program& program : ranks_) add_rank(program);
    link_successors();
    for (const auto& [name, line] : lines_) add_meetings(name, line);
    drop_ample_resources();
    return std::move(flat_);
  }

 private:
  void add_rank(const Program& program) {
    const auto rank = static_cast<std::int16_t>(flat_.ranks());
    const std::int32_t first = flat_.first_op.back();
    std::array<std::vector<std::int32_t>, kLanes> queues;
    for (std::size_t i = 0; i < program.instructions.size(); ++i) {
      const auto lane = static_cast<std::size_t>(program.instructions[i].lane);
      queues[lane].push_back(first + static_cast<std::int32_t>(i));
      add_op(program, static_cast<std::int32_t>(i), rank);
    }
    flat_.first_op.push_back(static_cast<std::int32_t>(flat_.ops.size()));
    for (std::size_t lane = 0; lane < queues.size(); ++lane) add_queue(queues[lane], rank, static_cast<Lane>(lane));
    flat_.first_queue.push_back(static_cast<std::int32_t>(flat_.queues.size()));
    if (with_memory_) add_memory(program);
  }

  void add_op(const Program& program, std::int32_t index, std::int16_t rank) {
    const Instruction& instruction = program.instructions[static_cast<std::size_t>(index)];
    FlatOp op;
    op.instruction = index;
    op.rank = rank;
    op.kind = kind_of(instruction.op);
    op.time_class = time_class_of(instruction);
    op.waits_idle = std::holds_alternative<Send>(instruction.op) || std::holds_alternative<Recv>(instruction.op);
    op.pending = static_cast<std::int32_t>(instruction.after.size());
    if (op.kind == FlatKind::kWork || op.kind == FlatKind::kMeeting) {
      const CachedCost cost = table_.of(program, instruction);
      op.duration_ns = cost.duration_ns;
      op.crowded_ns = cost.crowded_ns;
      op.demands = cost.demands;
    }
    if (op.kind == FlatKind::kMeeting) join_line(program, instruction, static_cast<std::int32_t>(flat_.ops.size()));
    flat_.ops.push_back(op);
  }

  void add_queue(const std::vector<std::int32_t>& ops, std::int16_t rank, Lane lane) {
    if (ops.empty()) return;
    const auto first = static_cast<std::int32_t>(flat_.order.size());
    for (std::int32_t op : ops) flat_.ops[static_cast<std::size_t>(op)].queue = static_cast<int>(flat_.queues.size());
    flat_.order.insert(flat_.order.end(), ops.begin(), ops.end());
    flat_.queues.push_back({first, static_cast<std::int32_t>(flat_.order.size()), rank, lane});
  }

  void add_memory(const Program& program) {
    MemoryTable live;
    const auto change = [&](BufferId id, int sign) {
      const Buffer& buffer = program.buffer(id);
      auto& bytes = live.bytes[static_cast<std::size_t>(buffer.space)][static_cast<std::size_t>(buffer.category)];
      bytes += sign * buffer.bytes();
      return MemoryChange{buffer.space, buffer.category, bytes};
    };
    for (std::size_t b = 0; b < program.buffers.size(); ++b) {
      if (program.buffers[b].persistent) change(BufferId{static_cast<std::int32_t>(b)}, 1);
    }
    for (const Instruction& instruction : program.instructions) {
      MemoryChange row;
      if (const auto* alloc = std::get_if<Alloc>(&instruction.op)) row = change(alloc->buffer, 1);
      if (const auto* free = std::get_if<Free>(&instruction.op)) row = change(free->buffer, -1);
      flat_.memory.push_back(row);
    }
  }

  void join_line(const Program& program, const Instruction& instruction, std::int32_t op) {
    std::visit(
        [&](const auto& o) {
          using T = std::decay_t<decltype(o)>;
          if constexpr (std::is_same_v<T, Send> || std::is_same_v<T, Recv>) {
            const auto self = std::to_string(program.group(o.group).self), peer = std::to_string(o.peer);
            const bool sends = std::is_same_v<T, Send>;
            const std::string pair = " from " + (sends ? self : peer) + " to " + (sends ? peer : self);
            join(line_name(program, instruction, o.group, pair), 2, program.rank, op);
          } else if constexpr (is_collective<T>) {
            join(line_name(program, instruction, o.group, ""), program.group(o.group).size(), program.rank, op);
          }
        },
        instruction.op);
  }

  void join(const std::string& name, int expected, int rank, std::int32_t op) {
    Line& line = lines_[name];
    line.expected = expected;
    line.ops_by_rank[rank].push_back(op);
  }

  void link_successors() {
    for (int r = 0; r < flat_.ranks(); ++r) link_rank(r);
  }

  void link_rank(int r) {
    const auto& instructions = ranks_[static_cast<std::size_t>(r)].instructions;
    FlatOp* ops = flat_.ops.data() + flat_.first_op[static_cast<std::size_t>(r)];
    for (const Instruction& i : instructions) {
      for (OpId before : i.after) ++ops[before.index].successor_count;
    }
    for (std::size_t i = 0; i < instructions.size(); ++i) {
      ops[i].first_successor = static_cast<std::uint32_t>(flat_.successors.size());
      flat_.successors.resize(flat_.successors.size() + ops[i].successor_count);
    }
    std::vector<std::uint32_t> filled(instructions.size(), 0);
    const std::int32_t base = flat_.first_op[static_cast<std::size_t>(r)];
    for (std::size_t i = 0; i < instructions.size(); ++i) {
      for (OpId before : instructions[i].after) {
        const auto b = static_cast<std::size_t>(before.index);
        flat_.successors[ops[b].first_successor + filled[b]++] = base + static_cast<std::int32_t>(i);
      }
    }
  }

  void add_meetings(const std::string& name, const Line& line) {
    const std::size_t count = line.ops_by_rank.begin()->second.size();
    bool matches = static_cast<int>(line.ops_by_rank.size()) == line.expected;
    for (const auto& [rank, ops] : line.ops_by_rank) matches = matches && ops.size() == count;
    if (!matches) throw Error(ErrorKind::kConfig, "group " + name + ": " + describe_counts(line));
    for (std::size_t i = 0; i < count; ++i) add_meeting(line, i);
  }

  static std::string describe_counts(const Line& line) {
    std::string text = "its ranks issue different numbers of collectives (";
    for (const auto& [rank, ops] : line.ops_by_rank) {
      text += "rank " + std::to_string(rank) + ": " + std::to_string(ops.size()) + ", ";
    }
    return text + std::to_string(line.expected) + " ranks must issue as many each)";
  }

  void add_meeting(const Line& line, std::size_t i) {
    Meeting meeting;
    meeting.first_member = static_cast<std::int32_t>(flat_.members.size());
    meeting.members = static_cast<std::int32_t>(line.ops_by_rank.size());
    std::map<int, double> drawn;
    for (const auto& [rank, ops] : line.ops_by_rank) {
      FlatOp& op = flat_.ops[static_cast<std::size_t>(ops[i])];
      op.meeting = static_cast<std::int32_t>(flat_.meetings.size());
      meeting.duration_ns = std::max(meeting.duration_ns, op.duration_ns);
      meeting.crowded_ns = std::max(meeting.crowded_ns, op.crowded_ns);
      for (const Demand& d : flat_.demand_lists[static_cast<std::size_t>(op.demands)]) drawn[d.resource] += d.amount;
      flat_.members.push_back(ops[i]);
    }
    std::vector<Demand> demands;
    for (const auto& [resource, amount] : drawn) demands.push_back({resource, amount});
    meeting.demands = table_.intern(demands);
    flat_.meetings.push_back(meeting);
  }

  // The most that all lanes can draw at once from a resource: if that fits, nobody ever shares it.
  void drop_ample_resources() {
    std::vector<double> most(flat_.capacity.size(), 0.0), queue_most(flat_.capacity.size());
    for (const FlatQueue& queue : flat_.queues) {
      std::fill(queue_most.begin(), queue_most.end(), 0.0);
      for (std::int32_t i = queue.first; i < queue.end; ++i) {
        const FlatOp& op = flat_.ops[static_cast<std::size_t>(flat_.order[static_cast<std::size_t>(i)])];
        for (const Demand& d : flat_.demand_lists[static_cast<std::size_t>(op.demands)]) {
          auto& q = queue_most[static_cast<std::size_t>(d.resource)];
          q = std::max(q, d.amount);
        }
      }
      for (std::size_t r = 0; r < most.size(); ++r) most[r] += queue_most[r];
    }
    for (auto& list : flat_.demand_lists) {
      std::erase_if(list, [&](const Demand& d) {
        const auto r = static_cast<std::size_t>(d.resource);
        return most[r] <= flat_.capacity[r] * (1 + 1e-9);
      });
    }
  }

  std::span<const Program> ranks_;
  const CostModel& costs_;
  bool with_memory_;
  FlatProgram flat_;
  CostTable table_;
  std::map<std::string, Line> lines_;
};

}  // namespace

FlatProgram flatten(std::span<const Program> ranks, const CostModel& costs, bool with_memory) {
  return Flattener(ranks, costs, with_memory).run();
}

}  // namespace shardscope
