#include "profiler/import/hang_finder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <set>

namespace shardscope {
namespace {

constexpr std::size_t kMostNamed = 16;  ///< ranks in one text

/// Calls of one rank in a group, by number: of several with the same number (coalesced ones) the first.
using Calls = std::map<std::int64_t, const StoredCall*>;

struct Group {
  std::map<std::size_t, Calls> ranks;  ///< by index of the rank
  std::optional<std::int64_t> stuck;   ///< lowest number of a call that is not completed
  std::int64_t since_ns = INT64_MAX;   ///< when that was first called
};

/// By name and members: the same name may be used for different members on different ranks.
using Groups = std::map<std::pair<std::int32_t, std::int32_t>, Group>;

/// "[0, 1, 5]"
std::set<int> numbers_in(std::string_view text) {
  std::set<int> numbers;
  while (!text.empty()) {
    int number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const std::size_t used = error == std::errc() ? static_cast<std::size_t>(end - text.data()) : 1;
    const bool whole = used < text.size();  // a text that was cut ends within a number
    if (error == std::errc() && number >= 0 && whole) numbers.insert(number);
    text.remove_prefix(used);
  }
  return numbers;
}

std::string list_of(const std::set<int>& ranks) {
  std::vector<int> shown(ranks.begin(), ranks.end());
  const bool all = shown.size() <= kMostNamed;
  if (!all) shown.resize(kMostNamed);
  return fmt::format("{} {}{}", ranks.size() == 1 ? "rank" : "ranks", fmt::join(shown, ", "), all ? "" : ", ...");
}

class HangFinder {
 public:
  HangFinder(ImportState& state, const std::vector<int>& numbers) : state_(state), numbers_(numbers) {}
  void find();

 private:
  struct Wish {  ///< what a rank wants of the others
    std::int32_t kind = 0, dtype = 0;
    std::int64_t bytes = 0;
    auto operator<=>(const Wish&) const = default;
  };

  const StoredOp& op_of(std::size_t rank, const StoredCall& call) const {
    return state_.ranks[rank].ops[static_cast<std::size_t>(call.op)];
  }
  const StoredCollective* collective_of(std::size_t rank, const StoredCall& call) const;
  bool is(const StoredCall& call, std::string_view state) const { return state_.texts.text(call.state) == state; }
  Groups groups() const;
  Wish wish_of(std::size_t rank, const StoredCall& call) const;
  std::string told(const Wish& wish) const;
  void look(const std::string& name, const Group& group, const std::set<int>& members);
  void find_late(const std::string& name, const Group& group, const std::set<int>& members);
  void find_mismatched(const std::string& name, const Group& group);
  void find_missing(const std::string& name, const Group& group, const std::set<int>& members);
  void add(std::size_t rank, const char* kind, const std::string& text) {
    TextCount& known = state_.ranks[rank].diagnostics[kind];
    if (known.count++ == 0) known.text = text;
  }

  ImportState& state_;
  const std::vector<int>& numbers_;
};

/// Nothing for calls that no group enters together: sends, receives, those without a number.
const StoredCollective* HangFinder::collective_of(std::size_t rank, const StoredCall& call) const {
  const StoredOp& op = op_of(rank, call);
  if (!call.sequence || op.collective < 0) return nullptr;
  const std::string& kind = state_.texts.text(op.kind);
  if (kind == "send" || kind == "recv" || kind == "send_recv") return nullptr;
  return &state_.ranks[rank].collectives[static_cast<std::size_t>(op.collective)];
}

Groups HangFinder::groups() const {
  Groups groups;
  const auto each = [&](auto&& use) {
    for (std::size_t r = 0; r < state_.ranks.size(); ++r) {
      if (!state_.ranks[r].facts.dump) continue;  // others are cut off somewhere, which is no hang
      for (const StoredCall& call : state_.ranks[r].calls) {
        if (const StoredCollective* c = collective_of(r, call)) use(r, call, std::pair(c->group, c->group_ranks));
      }
    }
  };
  each([&](std::size_t, const StoredCall& call, const auto& key) {
    if (is(call, "completed")) return;
    std::optional<std::int64_t>& stuck = groups[key].stuck;
    stuck = std::min(stuck.value_or(*call.sequence), *call.sequence);
  });
  if (groups.empty()) return groups;
  each([&](std::size_t r, const StoredCall& call, const auto& key) {
    const auto found = groups.find(key);
    if (found == groups.end()) return;
    found->second.ranks[r].emplace(*call.sequence, &call);
    if (call.sequence == found->second.stuck)
      found->second.since_ns = std::min(found->second.since_ns, call.created_ns.value_or(INT64_MAX));
  });
  return groups;
}

HangFinder::Wish HangFinder::wish_of(std::size_t rank, const StoredCall& call) const {
  const StoredCollective& c = *collective_of(rank, call);
  const std::int32_t kind = op_of(rank, call).kind;
  const std::string& name = state_.texts.text(kind);
  const bool equal = name == "all_reduce" || name == "all_gather" || name == "reduce_scatter" || name == "broadcast";
  return {kind, c.dtype, equal ? c.bytes : 0};
}

std::string HangFinder::told(const Wish& wish) const {
  const std::string size = wish.bytes > 0 ? fmt::format(" of {} bytes", wish.bytes) : "";
  const std::string& dtype = state_.texts.text(wish.dtype);
  return state_.texts.text(wish.kind) + size + (dtype.empty() ? "" : " (" + dtype + ")");
}

void HangFinder::find() {
  const Groups groups = this->groups();
  std::vector<Groups::const_pointer> order;  // what hung first is more often the cause, and its text is the one kept
  for (const auto& group : groups) order.push_back(&group);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto* a, const auto* b) { return a->second.since_ns < b->second.since_ns; });
  for (const auto* group : order) {
    const std::string& name = state_.texts.text(group->first.first);
    look(name, group->second, numbers_in(state_.texts.text(group->first.second)));
  }
}

void HangFinder::look(const std::string& name, const Group& group, const std::set<int>& members) {
  if (state_.ranks.size() < 2) return;  // one rank alone says nothing of the others
  find_late(name, group, members);
  find_mismatched(name, group);
  find_missing(name, group, members);
}

void HangFinder::find_late(const std::string& name, const Group& group, const std::set<int>& members) {
  std::set<int> waiting;
  std::string what;
  bool started = false;
  for (const auto& [rank, calls] : group.ranks) {
    const auto call = calls.find(*group.stuck);
    if (call == calls.end()) continue;
    waiting.insert(numbers_[rank]);
    started = started || !is(*call->second, "scheduled");
    if (what.empty()) what = state_.texts.text(op_of(rank, *call->second).kind);
  }
  for (std::size_t rank = 0; rank < numbers_.size(); ++rank) {
    const auto has = group.ranks.find(rank);
    if (has == group.ranks.end() && !members.contains(numbers_[rank])) continue;
    const Calls none;
    const Calls& calls = has == group.ranks.end() ? none : has->second;
    const auto call = calls.find(*group.stuck);
    const std::string where = fmt::format("{} {} of group {}", what, *group.stuck, name);
    if (call != calls.end() && started && is(*call->second, "scheduled")) {
      add(rank, "hang_late",
          fmt::format("rank {} is late: it has enqueued {} and not started it, as others have", numbers_[rank], where));
    } else if (call == calls.end() && (calls.empty() || calls.rbegin()->first < *group.stuck)) {
      const std::string last = calls.empty() ? "it entered none" : fmt::format("its last is {}", calls.rbegin()->first);
      add(rank, "hang_late",
          fmt::format("rank {} is late: {} {} in {}; {}", numbers_[rank], list_of(waiting),
                      waiting.size() == 1 ? "waits" : "wait", where, last));
    }
  }
}

void HangFinder::find_mismatched(const std::string& name, const Group& group) {
  std::map<Wish, std::set<int>> wishes;
  std::map<std::size_t, Wish> of_rank;
  for (const auto& [rank, calls] : group.ranks) {
    const auto call = calls.find(*group.stuck);
    if (call == calls.end()) continue;
    of_rank[rank] = wish_of(rank, *call->second);
    wishes[of_rank[rank]].insert(numbers_[rank]);
  }
  if (wishes.size() < 2) return;
  // The commonest; of two that are as common, that of the lowest rank.
  const auto& most = *std::max_element(wishes.begin(), wishes.end(), [](const auto& a, const auto& b) {
    return a.second.size() != b.second.size() ? a.second.size() < b.second.size()
                                              : *a.second.begin() > *b.second.begin();
  });
  for (const auto& [rank, wish] : of_rank) {
    if (wish == most.first) continue;
    add(rank, "hang_mismatched",
        fmt::format("rank {} is mismatched: as {} of group {} it calls {}, and {} {}", numbers_[rank], *group.stuck,
                    name, told(wish), list_of(most.second), told(most.first)));
  }
}

void HangFinder::find_missing(const std::string& name, const Group& group, const std::set<int>& members) {
  std::set<int> missing = members;
  for (const int number : numbers_) missing.erase(number);
  if (missing.empty()) return;
  TextCount& known = state_.diagnostics["hang_missing"];
  if (known.count == 0) {
    known.text = fmt::format("{} of group {}, which hangs in {}: no file of it was imported", list_of(missing), name,
                             *group.stuck);
  }
  known.count = std::max(known.count, static_cast<std::int64_t>(missing.size()));
}

}  // namespace

void find_hangs(ImportState& state, const std::vector<int>& numbers) { HangFinder(state, numbers).find(); }

}  // namespace shardscope
