#include "profiler/query/op_order.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/program/types.h"

namespace shardscope {
namespace {

constexpr int kImportsSince = 4;  ///< schema version that brought op_collective
constexpr int kGroupsSince = 5;   ///< and rank_group and op_after

using Ops = std::vector<std::int32_t>;  ///< sorted, each once

struct PlacedOp {
  std::string kind, lane, group;
};

std::vector<PlacedOp> read_ops(const Profile& profile, std::int64_t program) {
  std::vector<PlacedOp> ops;
  Rows rows = profile.rows("SELECT op, kind, lane, group_name FROM op WHERE program = ? ORDER BY op", {Value(program)});
  while (rows.next()) {
    if (rows.integer(0) != static_cast<std::int64_t>(ops.size()))
      throw Error(ErrorKind::kParse, profile.path() + ": damaged (ops of a program have gaps)");
    ops.push_back({rows.text(1), rows.text(2), rows.is_null(3) ? "" : rows.text(3)});
  }
  return ops;
}

/// What waits for what, as the program has it; rows that contradict its order are left out.
std::vector<Ops> read_after(const Profile& profile, std::int64_t program, std::size_t count) {
  std::vector<Ops> after;
  if (profile.schema_version() < kGroupsSince) return after;
  Rows rows = profile.rows("SELECT op, after FROM op_after WHERE program = ? ORDER BY op, after", {Value(program)});
  while (rows.next()) {
    const std::int64_t op = rows.integer(0), before = rows.integer(1);
    if (before < 0 || before >= op || op >= static_cast<std::int64_t>(count)) continue;
    after.resize(count);
    after[static_cast<std::size_t>(op)].push_back(static_cast<std::int32_t>(before));
  }
  return after;
}

void add(Ops& to, const Ops& ops) {
  to.insert(to.end(), ops.begin(), ops.end());
  std::sort(to.begin(), to.end());
  to.erase(std::unique(to.begin(), to.end()), to.end());
}

/// The same between ops that take time.
std::vector<Ops> between_timed(const std::vector<PlacedOp>& ops, const std::vector<Ops>& after,
                               const std::function<bool(std::int32_t)>& takes_time) {
  std::vector<Ops> result(after.size());
  std::vector<Ops> done(after.size());  // by op: what has finished when it has; of ops that take time themselves
  std::map<std::string, std::size_t> last_of_lane;
  for (std::size_t i = 0; i < after.size(); ++i) {
    Ops waits;
    const auto [last, is_first] = last_of_lane.try_emplace(ops[i].lane, i);
    if (!is_first) add(waits, done[std::exchange(last->second, i)]);
    for (const std::int32_t before : after[i]) add(waits, done[static_cast<std::size_t>(before)]);
    if (!takes_time(static_cast<std::int32_t>(i))) {
      done[i] = std::move(waits);
      continue;
    }
    done[i] = {static_cast<std::int32_t>(i)};
    for (const std::int32_t before : waits)
      if (ops[static_cast<std::size_t>(before)].lane != ops[i].lane) result[i].push_back(before);
  }
  return result;
}

/// The next or the previous rank of the group, as the lane says.
std::optional<int> peer_by_lane(const PlacedOp& op, const std::string& members, int rank) {
  const bool next = op.lane == to_string(Lane::kSendNext) || op.lane == to_string(Lane::kRecvNext);
  if (!next && op.lane != to_string(Lane::kSendPrevious) && op.lane != to_string(Lane::kRecvPrevious)) return {};
  const auto ranks = nlohmann::json::parse(members, nullptr, false);
  if (!ranks.is_array() || ranks.size() < 2) return {};
  const auto self = std::find(ranks.begin(), ranks.end(), rank);
  if (self == ranks.end()) return {};
  const auto at = static_cast<std::size_t>(self - ranks.begin());
  const auto& peer = ranks[(at + (next ? 1 : ranks.size() - 1)) % ranks.size()];
  return peer.is_number_integer() ? std::optional(peer.get<int>()) : std::nullopt;
}

/// Peers that the file of an imported run names.
std::map<std::int64_t, int> read_peers(const Profile& profile, std::int64_t program) {
  std::map<std::int64_t, int> peers;
  if (profile.schema_version() < kImportsSince) return peers;
  Rows rows =
      profile.rows("SELECT op, peer FROM op_collective WHERE program = ? AND peer IS NOT NULL", {Value(program)});
  while (rows.next()) peers[rows.integer(0)] = rows.small(1);
  return peers;
}

std::map<std::string, std::string> read_members(const Profile& profile, std::int64_t run, int rank) {
  std::map<std::string, std::string> members;
  if (profile.schema_version() < kGroupsSince) return members;
  Rows rows = profile.rows("SELECT name, ranks FROM rank_group WHERE run = ? AND rank = ?",
                           {Value(run), Value(std::int64_t{rank})});
  while (rows.next()) members[rows.text(0)] = rows.text(1);
  return members;
}

std::map<std::int32_t, Transfer> find_transfers(const std::vector<PlacedOp>& ops, int rank,
                                                const std::map<std::int64_t, int>& peers,
                                                const std::map<std::string, std::string>& members) {
  std::map<std::int32_t, Transfer> transfers;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const PlacedOp& op = ops[i];
    if (op.kind != "send" && op.kind != "recv") continue;
    const auto named = peers.find(static_cast<std::int64_t>(i));
    const auto group = members.find(op.group);
    std::optional<int> peer;
    if (named != peers.end()) peer = named->second;
    if (!peer && group != members.end()) peer = peer_by_lane(op, group->second, rank);
    const bool back = op.lane == to_string(Lane::kSendPrevious) || op.lane == to_string(Lane::kRecvNext);
    if (peer) transfers[static_cast<std::int32_t>(i)] = {*peer, op.kind == "send", back};
  }
  return transfers;
}

}  // namespace

OpOrder read_op_order(const Profile& profile, std::int64_t run, int rank,
                      const std::function<bool(std::int32_t)>& takes_time) {
  OpOrder order;
  Rows rows =
      profile.rows("SELECT program FROM rank WHERE run = ? AND rank = ?", {Value(run), Value(std::int64_t{rank})});
  if (!rows.next()) return order;
  const std::int64_t program = rows.integer(0);
  const std::vector<PlacedOp> ops = read_ops(profile, program);
  order.after = between_timed(ops, read_after(profile, program, ops.size()), takes_time);
  const std::map<std::string, std::string> members = read_members(profile, run, rank);
  order.transfers = find_transfers(ops, rank, read_peers(profile, program), members);
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const auto group = ops[i].kind == "ring_shift" ? members.find(ops[i].group) : members.end();
    if (group != members.end()) order.rings[static_cast<std::int32_t>(i)] = ops[i].lane + " of " + group->second;
  }
  return order;
}

}  // namespace shardscope
