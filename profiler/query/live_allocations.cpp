#include "profiler/query/live_allocations.h"

#include <algorithm>
#include <unordered_map>

#include "core/error.h"

namespace shardscope {
namespace {

std::size_t index(Category category) { return static_cast<std::size_t>(category); }

std::int64_t program_of(const MemoryTimeline& memory, int rank) {
  Rows rows = memory.profile().rows("SELECT program FROM rank WHERE run = ? AND rank = ?",
                                    {Value(memory.facts().run), Value(std::int64_t{rank})});
  return rows.next() ? rows.integer(0) : -1;
}

/// Buffers taken and not given back by the ops of a program up to one of them. A buffer that has no row yet is dead, so
/// that its first row is an alloc and its next a free.
bool add_from_program(const MemoryTimeline& memory, std::int64_t program, Space space, const MemoryInstant& instant,
                      std::vector<LiveAllocation>& rows) {
  if (memory.profile().schema_version() < 3) return false;
  std::unordered_map<std::string, LiveAllocation> live;
  Rows buffers = memory.profile().rows(
      "SELECT b.op, s.text, b.category, b.bytes FROM op_buffer b JOIN string s ON s.id = b.name WHERE b.program = ? "
      "AND "
      "b.space = ? ORDER BY b.op",
      {Value(program), Value(std::string(to_string(space)))});
  bool any = false;
  while (buffers.next()) {
    any = true;
    if (buffers.integer(0) > instant.op) break;
    LiveAllocation a;
    a.buffer = buffers.text(1);
    const auto category = from_name<Category>(buffers.text(2));
    a.bytes = buffers.integer(3);
    if (!category || a.bytes < 0 || a.bytes > instant.total_bytes) continue;
    a.category = *category;
    a.op = buffers.small(0);
    a.step = instant.step;
    const auto [known, is_new] = live.try_emplace(a.buffer, a);
    if (!is_new) live.erase(known);
  }
  for (auto& [name, allocation] : live) rows.push_back(std::move(allocation));
  return any;
}

/// Increases of a category that no decrease of the same size has taken back.
void add_by_size(const SpaceLive& live, std::int64_t time_ns, std::vector<LiveAllocation>& rows) {
  MemoryParts now = live.base;
  for (const LiveChange& c : live.changes) {
    if (c.time_ns > time_ns) break;
    const std::int64_t difference = c.live_bytes - now[index(c.category)];
    now[index(c.category)] = c.live_bytes;
    if (difference > 0) rows.push_back({{}, c.category, difference, c.op, c.step, c.time_ns, {}, {}, -1, -1});
    if (difference >= 0) continue;
    const auto same = [&](const LiveAllocation& a) { return a.category == c.category && a.bytes == -difference; };
    const auto found = std::find_if(rows.rbegin(), rows.rend(), same);
    if (found != rows.rend()) rows.erase(std::next(found).base());
  }
}

/// When each was taken: the last time its op changed the category, at or before the instant.
void add_times(const SpaceLive& live, const MemoryInstant& instant, std::vector<LiveAllocation>& rows) {
  std::unordered_map<std::int32_t, LiveAllocation*> by_op;
  for (LiveAllocation& a : rows) by_op[a.op] = &a;
  for (const LiveChange& c : live.changes) {
    if (c.time_ns > instant.time_ns) break;
    const auto found = by_op.find(c.op);
    if (found != by_op.end() && c.step == instant.step) found->second->since_ns = c.time_ns;
  }
}

void add_texts(const MemoryTimeline& memory, std::int64_t program, std::vector<LiveAllocation>& rows) {
  for (LiveAllocation& a : rows) {
    if (a.op < 0) continue;
    Rows op = memory.profile().rows("SELECT phase, name, layer, micro_batch FROM op WHERE program = ? AND op = ?",
                                    {Value(program), Value(std::int64_t{a.op})});
    if (!op.next()) continue;
    a.phase = op.text(0);
    a.module = op.text(1);
    a.layer = op.small(2);
    a.micro_batch = op.small(3);
  }
}

/// What the rows do not account for: it was there before the first step, or (beyond `base`) nobody knows.
void add_rest(const MemoryInstant& instant, const MemoryParts& base, std::vector<LiveAllocation>& rows) {
  MemoryParts known{};
  for (const LiveAllocation& a : rows) known[index(a.category)] += a.bytes;
  for (std::size_t c = 0; c < known.size(); ++c) {
    const auto category = static_cast<Category>(c);
    if (known[c] > instant.parts[c]) {  // rows that say more than is live are of no use
      std::erase_if(rows, [category](const LiveAllocation& a) { return a.category == category; });
      known[c] = 0;
    }
    const std::int64_t rest = instant.parts[c] - known[c], before = std::min(rest, base[c]);
    if (before > 0) rows.push_back({{}, category, before, LiveAllocation::kBefore, 0, 0, {}, {}, -1, -1});
    if (rest > before) rows.push_back({{}, category, rest - before, LiveAllocation::kUnknown, 0, 0, {}, {}, -1, -1});
  }
}

}  // namespace

LiveAllocations live_allocations(const MemoryTimeline& memory, int rank, Space space, std::int64_t time_ns) {
  LiveAllocations found;
  const std::optional<MemoryInstant> instant = memory.at(rank, space, time_ns);
  if (!instant) return found;
  found.instant = *instant;
  const std::int64_t program = program_of(memory, rank);
  MemoryParts base = instant->parts;
  if (instant->op >= 0) {
    const std::shared_ptr<const RankLive> all = memory.live(rank);
    const SpaceLive& live = (*all)[static_cast<std::size_t>(space)];
    base = live.base;
    if (add_from_program(memory, program, space, *instant, found.rows)) {
      add_times(live, *instant, found.rows);
    } else {
      found.matched = true;
      add_by_size(live, time_ns, found.rows);
    }
  }
  add_rest(*instant, base, found.rows);
  add_texts(memory, program, found.rows);
  std::stable_sort(found.rows.begin(), found.rows.end(), [](const LiveAllocation& a, const LiveAllocation& b) {
    return a.bytes != b.bytes ? a.bytes > b.bytes : a.op < b.op;
  });
  return found;
}

std::string describe_op(const MemoryTimeline& memory, int rank, std::int32_t op) {
  if (op < 0) return {};
  Rows row = memory.profile().rows("SELECT phase, name, layer FROM op WHERE program = ? AND op = ?",
                                   {Value(program_of(memory, rank)), Value(std::int64_t{op})});
  if (!row.next()) return "op " + std::to_string(op);
  const std::string layer = row.small(2) >= 0 ? ", layer " + std::to_string(row.small(2)) : "";
  const std::string name = row.text(1);
  return row.text(0) + layer + (name.empty() ? "" : ", " + name);
}

}  // namespace shardscope
