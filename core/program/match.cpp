// find_mismatches(): what ranks must agree on between each other (core/program/verify.h).

#include <algorithm>
#include <map>

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
      const std::string key =
          fmt::format("{}[{}] on {}", group.name, fmt::join(group.ranks, ","), to_string(p.instructions[i].lane));
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
    }
  }

  Fault& fault_;
  std::map<std::string, GroupOrder> groups_;
  std::map<std::string, Pair> pairs_;
};

}  // namespace

std::vector<std::string> find_mismatches(std::span<const Program> ranks) {
  std::vector<std::string> faults;
  Fault fault{faults};
  Matcher matcher(fault);
  for (const Program& program : ranks) matcher.add(program);
  matcher.compare();
  return faults;
}

}  // namespace shardscope
