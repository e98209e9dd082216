#include "profiler/query/collective_waits.h"

#include <algorithm>
#include <map>

namespace shardscope {
namespace {

/// One rank's part by the common clock.
struct Part {
  int rank = 0;
  std::int64_t start_ns = 0, duration_ns = 0;
  double error_ns = 0;
  std::int64_t recorded_ns = 0;  ///< its start by its own clock
  std::int32_t op = 0;
};

/// A clock that is a little off could make a rank wait after it has left.
std::int64_t wait_of(const Part& part, const Part& last) {
  return std::clamp<std::int64_t>(last.start_ns - part.start_ns, 0, part.duration_ns);
}

struct GroupSums {
  GroupWaits shown;
  double bytes = 0, moved_ns = 0;  ///< of the parts whose bytes are known
  std::map<int, std::int64_t> made_wait_ns;
};

/// busbw / algbw of nccl-tests, of kinds that synchronize (docs/profile.md, view collective_time).
double bus_factor(const std::string& kind, int ranks) {
  const double n = std::max(ranks, 1);
  return (kind == "all_reduce" ? 2 : 1) * (n - 1) / n;
}

/// In order of arrival; empty if a clock is not known.
std::vector<Part> by_arrival(const MatchedCollective& call, const std::map<int, const RankClock*>& clocks) {
  std::vector<Part> parts;
  for (const Arrival& a : call.arrivals) {
    const auto clock = clocks.find(a.rank);
    if (clock == clocks.end() || !clock->second->error_ns) return {};
    const std::int64_t start = common_ns(*clock->second, a.start_ns);
    parts.push_back({a.rank, start, a.end_ns - a.start_ns, common_error_ns(*clock->second), a.start_ns, a.op});
  }
  std::stable_sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.start_ns < b.start_ns; });
  return parts;
}

/// Adds one collective; `parts` are at least two.
void add(const std::vector<Part>& parts, std::int64_t bytes, std::map<int, Straggler>& ranks, GroupSums& group) {
  const Part &last = parts.back(), &before = parts[parts.size() - 2];
  std::int64_t waited = 0;
  ++group.shown.calls;
  for (const Part& part : parts) {
    const std::int64_t waits = wait_of(part, last);
    Straggler& rank = ranks[part.rank];
    ++rank.collectives;
    rank.waits_ns += waits;
    rank.moves_ns += part.duration_ns - waits;
    group.shown.moves_ns += part.duration_ns - waits;
    waited += waits;
    if (bytes > 0) group.bytes += static_cast<double>(bytes);
    if (bytes > 0) group.moved_ns += static_cast<double>(part.duration_ns - waits);
  }
  group.shown.waits_ns += waited;
  const std::int64_t behind = last.start_ns - before.start_ns;
  if (behind == 0) return;  // two came last
  Straggler& straggler = ranks[last.rank];
  ++straggler.last;
  straggler.surely_last += static_cast<double>(behind) > last.error_ns + before.error_ns ? 1 : 0;
  straggler.behind_ns += behind;
  straggler.made_wait_ns += waited;
  group.made_wait_ns[last.rank] += waited;
}

GroupWaits finished(GroupSums& group) {
  if (group.moved_ns > 0) group.shown.algbw = group.bytes / (group.moved_ns * 1e-9);
  if (group.moved_ns > 0) group.shown.busbw = *group.shown.algbw * bus_factor(group.shown.kind, group.shown.ranks);
  std::int64_t most = -1;
  for (const auto& [rank, ns] : group.made_wait_ns) {
    if (ns > most) group.shown.most_last = rank;
    most = std::max(most, ns);
  }
  return group.shown;
}

std::map<int, const RankClock*> clocks_by_rank(const ClockAlignment& clocks) {
  std::map<int, const RankClock*> by_rank;
  for (const RankClock& clock : clocks.ranks) by_rank[clock.rank] = &clock;
  return by_rank;
}

}  // namespace

std::vector<WaitedCall> waited_calls(const MatchedCollectives& matched, const ClockAlignment& clocks) {
  const std::map<int, const RankClock*> clock_of = clocks_by_rank(clocks);
  std::vector<WaitedCall> calls;
  for (std::size_t i = 0; i < matched.calls.size(); ++i) {
    if (!matched.calls[i].synchronizes) continue;
    const std::vector<Part> parts = by_arrival(matched.calls[i], clock_of);
    if (parts.size() < 2) continue;
    for (const Part& part : parts) {
      calls.push_back({i, part.rank, part.recorded_ns, part.recorded_ns + part.duration_ns, part.op,
                       wait_of(part, parts.back()), parts.back().rank});
    }
  }
  return calls;
}

CollectiveWaits collective_waits(const MatchedCollectives& matched, const ClockAlignment& clocks) {
  const std::map<int, const RankClock*> clock_of = clocks_by_rank(clocks);
  std::map<int, Straggler> ranks;
  std::map<std::pair<std::string, std::string>, GroupSums> groups;
  for (const MatchedCollective& call : matched.calls) {
    if (!call.synchronizes) continue;
    const std::vector<Part> parts = by_arrival(call, clock_of);
    if (parts.size() < 2) continue;
    GroupSums& group = groups[{call.kind, call.group}];
    group.shown.kind = call.kind, group.shown.group = call.group, group.shown.ranks = call.ranks;
    add(parts, call.bytes, ranks, group);
  }
  CollectiveWaits waits;
  for (auto& [rank, straggler] : ranks) {
    straggler.rank = rank;
    waits.stragglers.push_back(straggler);
  }
  for (auto& [name, group] : groups) waits.groups.push_back(finished(group));
  std::stable_sort(waits.stragglers.begin(), waits.stragglers.end(),
                   [](const auto& a, const auto& b) { return a.made_wait_ns > b.made_wait_ns; });
  std::stable_sort(waits.groups.begin(), waits.groups.end(),
                   [](const auto& a, const auto& b) { return a.waits_ns > b.waits_ns; });
  return waits;
}

std::vector<std::string> alignment_remarks(const MatchedCollectives& matched, const ClockAlignment& clocks) {
  if (matched.ranks.size() < 2) return {"The run has one rank: none waits for another."};
  if (matched.executions == 0)
    return {"The run has no collectives whose group is known: nothing joins the clocks of its ranks."};
  if (matched.calls.empty()) {
    return {
        "Of " + std::to_string(matched.executions) +
        " collectives, counted on each rank, none is surely the same as one on another rank (they are not numbered, "
        "or nobody says which ranks their groups have): nothing joins the clocks."};
  }
  std::vector<std::string> remarks;
  if (matched.unmatched > 0) {
    remarks.push_back(std::to_string(matched.unmatched) + " of " + std::to_string(matched.executions) +
                      " collectives, counted on each rank, have none on another rank that is surely the same; they are "
                      "left out.");
  }
  std::int64_t apart = 0, contradicted = 0;
  for (const RankClock& clock : clocks.ranks) {
    apart += clock.error_ns ? 0 : 1;
    contradicted += clock.contradiction_ns > 0 ? 1 : 0;
  }
  const std::string of_ranks = " of " + std::to_string(clocks.ranks.size()) + " ranks ";
  if (apart > 0) {
    remarks.push_back("The clocks of " + std::to_string(apart) + of_ranks +
                      "are not known: no collectives join them to rank " + std::to_string(matched.ranks.front()) + ".");
  }
  if (contradicted > 0) {
    remarks.push_back("Collectives of " + std::to_string(contradicted) + of_ranks +
                      "contradict each other: clocks do not run evenly, or timestamps are not exact.");
  }
  return remarks;
}

}  // namespace shardscope
