#include "profiler/query/matched_collectives.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "core/error.h"
#include "profiler/store/chunks.h"

namespace shardscope {
namespace {

/// What an op says about the collective that it is.
struct Described {
  std::string kind, group, members;  ///< members: JSON list of ranks; empty: unknown
  int ranks = 0;
  std::int64_t bytes = 0;
  bool synchronizes = false;
};

using OpKey = std::pair<std::int64_t, std::int64_t>;                            // rank, op
using GroupKey = std::pair<std::string, std::string>;                           // group, members
using MatchKey = std::tuple<GroupKey, std::string, std::string, std::int64_t>;  // group, kind, lane, number or step
using RankArrivals = std::map<int, std::vector<Arrival>>;

struct Candidates {
  std::map<OpKey, Described> ops;
  std::map<GroupKey, std::set<int>> seen;  ///< ranks that have ops of the group
  std::map<MatchKey, std::pair<const Described*, RankArrivals>> executions;
};

bool waits_for_all(const std::string& kind) {
  return kind == "all_reduce" || kind == "all_gather" || kind == "reduce_scatter" || kind == "all_to_all";
}

bool is_collective(const std::string& kind) { return kind != "send" && kind != "recv" && kind != "ring_shift"; }

void load_ops(const Profile& profile, std::int64_t run, Candidates& all) {
  const bool more = profile.schema_version() >= 4, grouped = profile.schema_version() >= 5;
  const std::string members = grouped ? "coalesce(c.group_ranks, g.ranks)" : "c.group_ranks";
  const std::string sql = "SELECT k.rank, o.op, o.kind, o.group_name, o.group_size, o.collective_bytes, " +
                          (more ? members + ", c.split_in, c.split_out, c.elements_in" : "NULL, NULL, NULL, NULL") +
                          " FROM rank k JOIN op o ON o.program = k.program" +
                          (more ? " LEFT JOIN op_collective c ON c.program = o.program AND c.op = o.op" : "") +
                          (grouped ? " LEFT JOIN rank_group g ON g.run = k.run AND g.rank = k.rank AND g.name = "
                                     "o.group_name"
                                   : "") +
                          " WHERE k.run = ? AND o.communication = 1 AND o.group_name IS NOT NULL AND o.group_size > 1";
  for (Rows rows = profile.rows(sql, {Value(run)}); rows.next();) {
    Described d;
    d.kind = rows.text(2);
    d.group = rows.text(3);
    if (!is_collective(d.kind) || d.group.empty()) continue;
    d.ranks = rows.small(4);
    if (!rows.is_null(5)) d.bytes = rows.integer(5);
    if (!rows.is_null(6)) d.members = rows.text(6);
    const bool uneven = !rows.is_null(7) || !rows.is_null(8), nothing = !rows.is_null(9) && rows.integer(9) == 0;
    d.synchronizes = waits_for_all(d.kind) && !uneven && !nothing;
    all.seen[{d.group, d.members}].insert(rows.small(0));
    all.ops[{rows.integer(0), rows.integer(1)}] = std::move(d);
  }
}

void add(Candidates& all, int rank, std::int64_t op, const std::string& lane, std::int64_t number, std::int64_t start,
         std::int64_t end) {
  const auto found = all.ops.find({rank, op});
  if (found == all.ops.end() || end < start) return;
  const Described& d = found->second;
  auto& [described, arrivals] = all.executions[{{d.group, d.members}, d.kind, lane, number}];
  if (described == nullptr) described = &d;
  arrivals[rank].push_back({rank, start, end, static_cast<std::int32_t>(op)});
}

/// False if no file of the run numbers its collectives.
bool load_numbered(const Profile& profile, std::int64_t run, Candidates& all) {
  if (profile.schema_version() < 4) return false;
  Rows rows = profile.rows(
      "SELECT rank, op, sequence, start_ns, end_ns FROM collective_call WHERE run = ? AND sequence IS NOT NULL AND "
      "start_ns IS NOT NULL AND end_ns IS NOT NULL ORDER BY rank, id",
      {Value(run)});
  while (rows.next()) add(all, rows.small(0), rows.integer(1), "", rows.integer(2), rows.integer(3), rows.integer(4));
  return !all.executions.empty();
}

void load_in_order(const Profile& profile, std::int64_t run, Candidates& all) {
  Rows rows = profile.rows(
      "SELECT t.rank, t.lane, c.start_ns, c.data FROM slice_chunk c JOIN track t ON t.id = c.track WHERE t.run = ? "
      "ORDER BY t.id, c.start_ns",
      {Value(run)});
  while (rows.next()) {
    const int rank = rows.small(0);
    const std::string lane = rows.text(1);
    const bool whole = decode_slices(rows.bytes(3), rows.integer(2), [&](const SliceEvent& e) {
      if (e.step >= 0) add(all, rank, e.op.index, lane, e.step, e.start_ns, e.start_ns + e.duration_ns);
    });
    if (!whole) throw Error(ErrorKind::kParse, profile.path() + ": damaged (slice_chunk.data)");
  }
}

int world_of(const Profile& profile, std::int64_t run) {
  Rows rows = profile.rows("SELECT world FROM run WHERE id = ?", {Value(run)});
  return rows.next() ? rows.small(0) : 0;
}

/// One call for each time that every rank of it executed it.
void take(const Described& what, RankArrivals& arrivals, std::vector<MatchedCollective>& calls) {
  const std::size_t times = arrivals.begin()->second.size();
  for (auto& [rank, own] : arrivals) {
    if (own.size() != times) return;
    std::stable_sort(own.begin(), own.end(),
                     [](const Arrival& a, const Arrival& b) { return a.start_ns < b.start_ns; });
  }
  for (std::size_t i = 0; i < times; ++i) {
    MatchedCollective& call =
        calls.emplace_back(MatchedCollective{what.kind, what.group, what.ranks, what.bytes, what.synchronizes, {}});
    for (const auto& [rank, own] : arrivals) call.arrivals.push_back(own[i]);
  }
}

}  // namespace

MatchedCollectives match_collectives(const Profile& profile, std::int64_t run) {
  MatchedCollectives matched;
  for (Rows rows = profile.rows("SELECT rank FROM rank WHERE run = ? ORDER BY rank", {Value(run)}); rows.next();)
    matched.ranks.push_back(rows.small(0));
  const int world = world_of(profile, run);
  const bool complete = static_cast<int>(matched.ranks.size()) >= world;
  Candidates all;
  load_ops(profile, run, all);
  if (!load_numbered(profile, run, all)) load_in_order(profile, run, all);
  for (auto& [key, executions] : all.executions) {
    auto& [what, arrivals] = executions;
    for (const auto& [rank, own] : arrivals) matched.executions += static_cast<std::int64_t>(own.size());
    // Of a group whose ranks nobody names: more ranks than it has are several groups of one name, and so may fewer be
    // where ranks of the job are missing.
    const bool known = !what->members.empty() || (static_cast<int>(all.seen[std::get<0>(key)].size()) <= what->ranks &&
                                                  (complete || what->ranks >= world));
    if (known && arrivals.size() > 1) take(*what, arrivals, matched.calls);
  }
  std::stable_sort(matched.calls.begin(), matched.calls.end(), [](const auto& a, const auto& b) {
    return a.arrivals.front().start_ns < b.arrivals.front().start_ns;
  });
  matched.unmatched = matched.executions;
  for (const MatchedCollective& call : matched.calls)
    matched.unmatched -= static_cast<std::int64_t>(call.arrivals.size());
  return matched;
}

}  // namespace shardscope
