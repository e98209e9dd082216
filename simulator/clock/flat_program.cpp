#include "simulator/clock/flat_program.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "core/check.h"
#include "core/error.h"
#include "simulator/clock/cost_table.h"
#include "simulator/fold/class_resources.h"

namespace shardscope {

namespace {

bool takes_no_time(const Op& op) {
  return std::holds_alternative<Alloc>(op) || std::holds_alternative<Free>(op) || std::holds_alternative<Hold>(op);
}

}  // namespace

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

namespace {

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
  Flattener(std::span<const Program> ranks, const CostModel& costs, bool with_memory, const RankPartition* classes)
      : ranks_(ranks), costs_(costs), with_memory_(with_memory), classes_(classes), table_(costs) {}

  FlatProgram run() {
    add_resources();
    flat_.wake_ns = to_ns(costs_.wake_latency());
    flat_.step_overhead_ns = to_ns(costs_.step_overhead());
    flat_.first_op.push_back(0);
    flat_.first_queue.push_back(0);
    for (const Program& program : ranks_) add_rank(program);
    link_successors();
    for (const auto& [name, line] : lines_) add_meetings(name, line);
    flat_.draws = draws_.take();
    drop_ample_resources();
    return std::move(flat_);
  }

 private:
  void add_resources() {
    if (classes_ != nullptr) {
      placed_classes_ = place_classes(costs_.resources(), *classes_);
      flat_.capacity = placed_classes_.capacity;
      return;
    }
    for (const Resource& resource : costs_.resources()) {
      first_resource_.push_back(static_cast<int>(flat_.capacity.size()));
      const std::size_t each = resource.ranks > 0 ? static_cast<std::size_t>(resource.ranks) : ranks_.size();
      flat_.capacity.resize(flat_.capacity.size() + (ranks_.size() + each - 1) / each, resource.capacity);
    }
  }

  ClassPlace place_of(std::size_t kind, std::int32_t rank) const {
    if (classes_ != nullptr)
      return placed_classes_.places[static_cast<std::size_t>(rank) * costs_.resources().size() + kind];
    const int each = costs_.resources()[kind].ranks;
    return {first_resource_[kind] + (each > 0 ? rank / each : 0), 1};
  }

  // A rank's draws from the resources that it has with others; a class's from what all its ranks on one have.
  std::int32_t draws_of(std::int32_t number, std::int32_t rank) {
    const auto [it, is_new] = placed_.try_emplace(number, 0);
    if (!is_new) return it->second;
    Draws draws = table_.draws()[number];
    for (Demand& d : draws.demands) {
      const ClassPlace place = place_of(static_cast<std::size_t>(d.resource), rank);
      d.resource = place.resource;
      d.amount *= place.ranks;
    }
    return it->second = draws_.intern(std::move(draws));
  }

  void add_rank(const Program& program) {
    const auto rank = static_cast<std::int32_t>(flat_.ranks());
    const std::int32_t first = flat_.first_op.back();
    table_.begin(program);
    known_lines_.clear();
    placed_.clear();
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

  void add_op(const Program& program, std::int32_t index, std::int32_t rank) {
    const Instruction& instruction = program.instructions[static_cast<std::size_t>(index)];
    FlatOp op;
    op.instruction = index;
    op.rank = rank;
    op.kind = kind_of(instruction.op);
    op.time_class = time_class_of(instruction);
    op.waits_idle = std::holds_alternative<Send>(instruction.op) || std::holds_alternative<Recv>(instruction.op);
    op.pending = static_cast<std::int32_t>(instruction.after.size());
    if (op.kind == FlatKind::kWork || op.kind == FlatKind::kMeeting) {
      const OpTime cost = table_.of(instruction);
      op.duration_ns = cost.duration_ns;
      op.crowded_ns = cost.crowded_ns;
      op.draws = draws_of(cost.draws, rank);
    }
    if (op.kind == FlatKind::kMeeting) join_line(program, instruction, static_cast<std::int32_t>(flat_.ops.size()));
    flat_.ops.push_back(op);
  }

  void add_queue(const std::vector<std::int32_t>& ops, std::int32_t rank, Lane lane) {
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
            const std::int64_t self = program.group(o.group).self;
            const bool sends = std::is_same_v<T, Send>;
            join(program, instruction, o.group, sends ? self : o.peer, sends ? o.peer : self, op);
          } else if constexpr (is_collective<T>) {
            join(program, instruction, o.group, -1, -1, op);
          }
        },
        instruction.op);
  }

  void join(const Program& program, const Instruction& instruction, GroupId group, std::int64_t from, std::int64_t to,
            std::int32_t op) {
    Line*& line = known_lines_[{group.index, meeting_lane(instruction.lane), from, to}];
    if (line == nullptr) {
      line = classes_ == nullptr ? &find_line(program, instruction, group, from, to)
                                 : &find_class_line(program, instruction, group, from, to);
    }
    line->ops_by_rank[program.rank].push_back(op);
  }

  Line& find_line(const Program& program, const Instruction& instruction, GroupId group, std::int64_t from,
                  std::int64_t to) {
    std::string pair;
    if (from >= 0) pair = " from " + std::to_string(from) + " to " + std::to_string(to);
    Line& line = lines_[line_name(program, instruction, group, pair)];
    line.expected = from >= 0 ? 2 : program.group(group).size();
    return line;
  }

  // Of groups that list the same classes, one stands for all.
  Line& find_class_line(const Program& program, const Instruction& instruction, GroupId id, std::int64_t from,
                        std::int64_t to) {
    const std::string& name = program.group(id).name;
    const auto& groups = classes_->groups[static_cast<std::size_t>(flat_.ranks())];
    const auto group = std::find_if(groups.begin(), groups.end(), [&](const ClassGroup& g) { return g.name == name; });
    SS_CHECK(group != groups.end(), name);
    std::string text = name + " lane " + std::string(to_string(meeting_lane(instruction.lane))) + " classes of list " +
                       std::to_string(group->list);
    if (from >= 0) {
      for (const std::int64_t place : {from, to})
        text += " " + std::to_string(group->classes[static_cast<std::size_t>(place)]);
    }
    Line& line = lines_[text];
    line.expected = from >= 0 ? 2 : group->distinct;
    return line;
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
    FlatMeeting meeting;
    meeting.first_member = static_cast<std::int32_t>(flat_.members.size());
    meeting.members = static_cast<std::int32_t>(line.ops_by_rank.size());
    std::map<int, double> drawn;
    Draws draws;
    for (const auto& [rank, ops] : line.ops_by_rank) {
      FlatOp& op = flat_.ops[static_cast<std::size_t>(ops[i])];
      op.meeting = static_cast<std::int32_t>(flat_.meetings.size());
      meeting.duration_ns = std::max(meeting.duration_ns, op.duration_ns);
      meeting.crowded_ns = std::max(meeting.crowded_ns, op.crowded_ns);
      for (const Demand& d : draws_[op.draws].demands) drawn[d.resource] += d.amount;
      draws.goes_first = draws.goes_first || draws_[op.draws].goes_first;
      flat_.members.push_back(ops[i]);
    }
    for (const auto& [resource, amount] : drawn) draws.demands.push_back({resource, amount});
    meeting.draws = draws_.intern(std::move(draws));
    flat_.meetings.push_back(meeting);
  }

  // The most that all lanes can draw at once from a resource: if that fits, nobody ever shares it.
  void drop_ample_resources() {
    std::vector<double> most(flat_.capacity.size(), 0.0), queue_most(flat_.capacity.size(), 0.0);
    std::vector<std::size_t> drawn;
    for (const FlatQueue& queue : flat_.queues) {
      drawn.clear();
      for (std::int32_t i = queue.first; i < queue.end; ++i) {
        const FlatOp& op = flat_.ops[static_cast<std::size_t>(flat_.order[static_cast<std::size_t>(i)])];
        for (const Demand& d : flat_.draws[static_cast<std::size_t>(op.draws)].demands) {
          const auto r = static_cast<std::size_t>(d.resource);
          if (queue_most[r] == 0) drawn.push_back(r);
          queue_most[r] = std::max(queue_most[r], d.amount);
        }
      }
      for (std::size_t r : drawn) most[r] += std::exchange(queue_most[r], 0.0);
    }
    for (Draws& draws : flat_.draws) {
      std::erase_if(draws.demands, [&](const Demand& d) {
        const auto r = static_cast<std::size_t>(d.resource);
        return most[r] <= flat_.capacity[r] * (1 + 1e-9);
      });
    }
  }

  std::span<const Program> ranks_;
  const CostModel& costs_;
  bool with_memory_;
  const RankPartition* classes_;
  FlatProgram flat_;
  CostTable table_;
  DrawsTable draws_;
  std::vector<int> first_resource_;  ///< by resource of the cost model
  ClassPlaces placed_classes_;
  std::map<std::int32_t, std::int32_t> placed_;  ///< draws of this rank
  std::map<std::string, Line> lines_;
  std::map<std::tuple<std::int32_t, Lane, std::int64_t, std::int64_t>, Line*> known_lines_;  ///< of this rank
};

}  // namespace

FlatProgram flatten(std::span<const Program> ranks, const CostModel& costs, bool with_memory,
                    const RankPartition* classes) {
  return Flattener(ranks, costs, with_memory, classes).run();
}

}  // namespace shardscope
