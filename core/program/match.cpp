// find_mismatches(): what ranks must agree on between each other (core/program/verify.h).

#include <algorithm>
#include <array>
#include <map>

#include "core/program/clocks.h"
#include "core/program/faults.h"
#include "core/program/verify.h"

namespace shardscope {
namespace {

/// What must agree on all ranks of a group about one collective.
struct Collective {
  std::string kind;
  std::int64_t bytes = 0;
  std::string dtype, detail;
  std::size_t op = 0;
  friend bool operator==(const Collective& a, const Collective& b) {
    return a.kind == b.kind && a.bytes == b.bytes && a.dtype == b.dtype && a.detail == b.detail;
  }
};

struct GroupOrder {
  std::vector<int> ranks;
  std::map<int, std::vector<Collective>> by_rank;
};

Collective describe_collective(const Program& p, std::size_t i) {
  Collective c{std::string(op_name(p.instructions[i].op)), collective_bytes(p, p.instructions[i].op), "", "", i};
  for_each_access(p.instructions[i].op,
                  [&](const char*, const Region& r, Access) { c.dtype = to_string(p.buffer(r.buffer).dtype); });
  if (const auto* o = std::get_if<AllReduce>(&p.instructions[i].op)) c.detail = to_string(o->reduce);
  if (std::holds_alternative<Send>(p.instructions[i].op) || std::holds_alternative<Recv>(p.instructions[i].op)) {
    const Label& label = p.instructions[i].label;  // both ends name the message by what it belongs to
    c.detail = fmt::format("{} mb {}", to_string(label.phase), label.micro_batch);
  }
  if (const auto* o = std::get_if<Broadcast>(&p.instructions[i].op)) c.detail = fmt::format("root {}", o->root);
  return c;
}

/// Order of collectives by group (its ranks, name) and lane; sends and receives by pair.
class Matcher {
 public:
  explicit Matcher(Fault& fault) : fault_(fault) {}

  void add(const Program& p) {
    for (std::size_t i = 0; i < p.instructions.size(); ++i) {
      const Op& op = p.instructions[i].op;
      const std::optional<GroupId> id = group_of(op);
      if (!id) continue;
      const Group& group = p.group(*id);
      const std::string key = fmt::format("{}[{}] on {}", group.name, fmt::join(group.ranks, ","),
                                          to_string(meeting_lane(p.instructions[i].lane)));
      const int self = group.ranks[static_cast<std::size_t>(group.self)];
      if (const auto* send = std::get_if<Send>(&op)) {
        pairs_[pair_key(key, self, group.ranks[static_cast<std::size_t>(send->peer)])].sends.push_back(
            describe_collective(p, i));
      } else if (const auto* recv = std::get_if<Recv>(&op)) {
        pairs_[pair_key(key, group.ranks[static_cast<std::size_t>(recv->peer)], self)].receives.push_back(
            describe_collective(p, i));
      } else {
        GroupOrder& order = groups_[key];
        order.ranks = group.ranks;
        order.by_rank[self].push_back(describe_collective(p, i));
      }
    }
  }

  void compare() {
    for (const auto& [key, order] : groups_) compare_group(key, order);
    for (const auto& [key, pair] : pairs_) compare_pair(key, pair);
  }

 private:
  struct Pair {
    std::vector<Collective> sends, receives;
  };

  static std::string pair_key(const std::string& key, int from, int to) {
    return fmt::format("{}, rank {} to rank {}", key, from, to);
  }

  void compare_group(const std::string& key, const GroupOrder& order) {
    const std::vector<Collective>& first = order.by_rank.begin()->second;
    const int first_rank = order.by_rank.begin()->first;
    for (int rank : order.ranks) {
      const auto it = order.by_rank.find(rank);
      if (it == order.by_rank.end()) {
        fault_("group {}: rank {} issues none of the {} collectives that rank {} issues", key, rank, first.size(),
               first_rank);
        continue;
      }
      const std::vector<Collective>& other = it->second;
      for (std::size_t i = 0; i < std::min(first.size(), other.size()); ++i) {
        if (first[i] == other[i]) continue;
        fault_(
            "group {}: collective {} is {} of {} bytes (op {}) on rank {}, but {} of {} bytes (op {}) on rank {}: a "
            "hang",
            key, i, first[i].kind, first[i].bytes, first[i].op, first_rank, other[i].kind, other[i].bytes, other[i].op,
            rank);
        break;
      }
      if (first.size() != other.size()) {
        fault_("group {}: rank {} issues {} collectives, rank {} issues {}: a hang", key, first_rank, first.size(),
               rank, other.size());
      }
    }
  }

  void compare_pair(const std::string& key, const Pair& pair) {
    if (pair.sends.size() != pair.receives.size()) {
      fault_("group {}: {} sends meet {} receives: a hang", key, pair.sends.size(), pair.receives.size());
    }
    for (std::size_t i = 0; i < std::min(pair.sends.size(), pair.receives.size()); ++i) {
      if (pair.sends[i].bytes != pair.receives[i].bytes || pair.sends[i].dtype != pair.receives[i].dtype) {
        fault_("group {}: send {} has {} bytes, its receive {}", key, i, pair.sends[i].bytes, pair.receives[i].bytes);
      }
      if (pair.sends[i].detail != pair.receives[i].detail) {
        fault_("group {}: send {} is of {}, its receive of {}", key, i, pair.sends[i].detail, pair.receives[i].detail);
        break;
      }
    }
  }

  Fault& fault_;
  std::map<std::string, GroupOrder> groups_;
  std::map<std::string, Pair> pairs_;
};

/// Runs all ranks without time: an op runs when its lane has come to it and what it waits for has run; a collective
/// when that holds on every rank of its group. Whatever has not run when nothing can is a deadlock.
class DeadlockCheck {
 public:
  DeadlockCheck(std::span<const Program> ranks, Fault& fault) : ranks_(ranks), fault_(fault) {
    for (const Program& program : ranks) {
      Rank& rank = state_.emplace_back();
      rank.done.assign(program.instructions.size(), false);
      for (std::size_t i = 0; i < program.instructions.size(); ++i) {
        const Instruction& in = program.instructions[i];
        if (!is_memory_op(in.op)) rank.lanes[static_cast<std::size_t>(in.lane)].push_back(i);
      }
    }
  }

  void run() {
    for (bool moved = true; moved;) {
      moved = false;
      waiting_.clear();
      for (std::size_t r = 0; r < ranks_.size(); ++r) {
        for (std::size_t lane = 0; lane < kLanes; ++lane) moved = advance(r, lane) || moved;
      }
      for (const auto& [key, members] : waiting_) moved = meet(members) || moved;
    }
    for (std::size_t r = 0; r < ranks_.size(); ++r) report(r);
  }

 private:
  struct Rank {
    std::array<std::vector<std::size_t>, kLanes> lanes;
    std::array<std::size_t, kLanes> next{};
    std::vector<bool> done;
  };
  struct Waiting {
    std::size_t needed = 0;
    std::vector<std::pair<std::size_t, std::size_t>> members;  ///< rank, lane
  };

  const Instruction* head(std::size_t r, std::size_t lane) const {
    const Rank& rank = state_[r];
    if (rank.next[lane] >= rank.lanes[lane].size()) return nullptr;
    return &ranks_[r].instructions[rank.lanes[lane][rank.next[lane]]];
  }

  void finish(std::size_t r, std::size_t lane) {
    Rank& rank = state_[r];
    rank.done[rank.lanes[lane][rank.next[lane]++]] = true;
  }

  /// Runs a lane up to its next collective, which then waits for the others.
  bool advance(std::size_t r, std::size_t lane) {
    bool moved = false;
    while (const Instruction* in = head(r, lane)) {
      const auto& done = state_[r].done;
      const bool ready = std::all_of(in->after.begin(), in->after.end(),
                                     [&](OpId op) { return done[static_cast<std::size_t>(op.index)]; });
      if (!ready) return moved;
      if (is_communication(in->op)) {
        wait(r, lane, *in);
        return moved;
      }
      finish(r, lane);
      moved = true;
    }
    return moved;
  }

  void wait(std::size_t r, std::size_t lane, const Instruction& in) {
    const Group& group = ranks_[r].group(*group_of(in.op));
    std::string key =
        fmt::format("{}[{}] {}", group.name, fmt::join(group.ranks, ","), to_string(meeting_lane(in.lane)));
    std::size_t needed = group.ranks.size();
    const auto pair = [&](std::int64_t from, std::int64_t to) {
      key += fmt::format(" {} to {}", from, to);
      needed = 2;
    };
    if (const auto* send = std::get_if<Send>(&in.op)) pair(group.self, send->peer);
    if (const auto* recv = std::get_if<Recv>(&in.op)) pair(recv->peer, group.self);
    Waiting& waiting = waiting_[key];
    waiting.needed = needed;
    waiting.members.emplace_back(r, lane);
  }

  bool meet(const Waiting& waiting) {
    if (waiting.members.size() < waiting.needed) return false;
    for (const auto& [r, lane] : waiting.members) finish(r, lane);
    return true;
  }

  void report(std::size_t r) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const Instruction* in = head(r, lane);
      if (in == nullptr) continue;
      fault_("deadlock: rank {} never gets past op {} ({} {} on {})", ranks_[r].rank,
             state_[r].lanes[lane][state_[r].next[lane]], op_name(in->op), ranks_[r].name(in->label.name),
             to_string(in->lane));
    }
  }

  std::span<const Program> ranks_;
  Fault& fault_;
  std::vector<Rank> state_;
  std::map<std::string, Waiting> waiting_;
};

}  // namespace

std::vector<std::string> find_mismatches(std::span<const Program> ranks) {
  std::vector<std::string> faults;
  Fault fault{faults};
  Matcher matcher(fault);
  for (const Program& program : ranks) matcher.add(program);
  matcher.compare();
  if (faults.empty()) DeadlockCheck(ranks, fault).run();
  return faults;
}

}  // namespace shardscope
