#include "profiler/query/memory_timeline.h"

#include <algorithm>

#include "core/check.h"
#include "core/error.h"

namespace shardscope {
namespace {

constexpr std::int64_t kMostCells = 1'000'000;

/// Entries into stretches, cut to the window.
std::vector<MemoryStretch> stretches_of(const std::vector<MemoryEntry>& entries, std::int64_t bucket_ns,
                                        TimeWindow window) {
  std::vector<MemoryStretch> stretches;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const MemoryEntry& e = entries[i];
    const std::int64_t begin = std::max(window.begin_ns, e.bucket * bucket_ns);
    const std::int64_t end =
        i + 1 < entries.size() ? std::min(window.end_ns, entries[i + 1].bucket * bucket_ns) : window.end_ns;
    if (begin < end) stretches.push_back({{begin, end}, e.lowest, e.highest, e.parts});
  }
  return stretches;
}

/// What is live at the beginning of the window, and the changes in it.
SpaceLive cut(const SpaceLive& all, TimeWindow window) {
  SpaceLive part;
  part.base = all.base;
  auto change = all.changes.begin();
  for (; change != all.changes.end() && change->time_ns <= window.begin_ns; ++change)
    part.base[static_cast<std::size_t>(change->category)] = change->live_bytes;
  for (; change != all.changes.end() && change->time_ns < window.end_ns; ++change) part.changes.push_back(*change);
  return part;
}

void damaged(const Profile& profile, int rank) {
  throw Error(ErrorKind::kParse,
              profile.path() + ": damaged (memory_level of rank " + std::to_string(rank) + " cannot be read)");
}

/// Entries from the one that holds at the beginning of the window to the last that begins in it.
std::vector<MemoryEntry> within(const std::vector<MemoryEntry>& all, std::int64_t first, std::int64_t last) {
  const auto after = [](std::int64_t bucket, const MemoryEntry& e) { return bucket < e.bucket; };
  auto begin = std::upper_bound(all.begin(), all.end(), first, after);
  if (begin != all.begin()) --begin;
  return {begin, std::upper_bound(begin, all.end(), last, after)};
}

constexpr const char* kFromChunk =
    " AND m.start_ns < ? AND m.start_ns >= coalesce((SELECT max(b.start_ns) FROM memory_level b WHERE b.run = m.run "
    "AND "
    "b.space = m.space AND b.level = m.level AND b.rank = m.rank AND b.start_ns <= ?), 0) ORDER BY m.rank, m.start_ns";

/// Adds the entries of one rank to its row of columns.
void raise(std::vector<std::int64_t>& columns, const std::vector<MemoryEntry>& entries, std::int64_t bucket_ns,
           TimeWindow window, std::int64_t column_ns) {
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::int64_t begin = std::max(window.begin_ns, entries[i].bucket * bucket_ns);
    const std::int64_t end =
        i + 1 < entries.size() ? std::min(window.end_ns, entries[i + 1].bucket * bucket_ns) : window.end_ns;
    if (begin >= end) continue;
    const auto first = static_cast<std::size_t>((begin - window.begin_ns) / column_ns),
               last = static_cast<std::size_t>((end - 1 - window.begin_ns) / column_ns);
    for (std::size_t c = first; c <= last && c < columns.size(); ++c)
      columns[c] = std::max(columns[c], entries[i].highest);
  }
}

}  // namespace

MemoryTimeline::MemoryTimeline(const Profile& profile, std::shared_ptr<const MemoryFacts> facts)
    : profile_(profile), facts_(std::move(facts)) {}

std::shared_ptr<const RankLive> MemoryTimeline::live(int rank) const {
  std::shared_ptr<const RankLive> known = facts_->cache->get(rank);
  if (known) return known;
  known = std::make_shared<const RankLive>(load_rank_live(profile_.handle(), profile_.path(), facts_->run, rank));
  facts_->cache->put(rank, known);
  return known;
}

std::vector<MemoryEntry> MemoryTimeline::entries(const RankSpace& known, Space space, int level,
                                                 TimeWindow window) const {
  const std::int64_t first = window.begin_ns >> (2 * level), last = (window.end_ns - 1) >> (2 * level);
  if (const auto made = known.made.find(level); made != known.made.end()) return within(made->second, first, last);
  std::vector<MemoryEntry> found;
  const std::string sql =
      "SELECT m.totals, m.parts FROM memory_level m WHERE m.run = ? AND m.space = ? AND m.level = ? AND m.rank = ?";
  Rows rows = profile_.rows(sql + kFromChunk,
                            {Value(facts_->run), Value(std::string(to_string(space))), Value(std::int64_t{level}),
                             Value(std::int64_t{known.rank}), Value(window.end_ns), Value(window.begin_ns)});
  while (rows.next()) {
    const std::size_t before = found.size();
    if (!decode_totals(rows.bytes(0), found) || !decode_parts(rows.bytes(1), std::span(found).subspan(before)))
      damaged(profile_, known.rank);
  }
  return within(found, first, last);
}

std::vector<MemoryStretch> MemoryTimeline::look(int rank, Space space, TimeWindow window, int pixels) const {
  SS_CHECK(pixels > 0, pixels);
  window.begin_ns = std::max<std::int64_t>(0, window.begin_ns);
  const RankSpace* known = facts_->find(space, rank);
  if (known == nullptr || window.length() <= 0) return {};
  if (known->finest < 0) return {{window, known->peak_bytes, known->peak_bytes, known->at_peak}};
  const std::int64_t pixel_ns = std::max<std::int64_t>(1, window.length() / pixels);
  if (bucket_ns(known->finest) > pixel_ns) {
    const SpaceLive near = cut((*live(rank))[static_cast<std::size_t>(space)], window);
    return stretches_of(thin(near, pixel_ns), pixel_ns, window);
  }
  int level = known->finest;
  while (level < known->coarsest && bucket_ns(level + 1) <= pixel_ns) ++level;
  return stretches_of(entries(*known, space, level, window), bucket_ns(level), window);
}

MemoryOverview MemoryTimeline::overview(Space space, TimeWindow window, int columns) const {
  SS_CHECK(columns > 0, columns);
  MemoryOverview overview;
  window.begin_ns = std::max<std::int64_t>(0, window.begin_ns);
  const std::vector<RankSpace>& known = facts_->of(space);
  if (known.empty() || window.length() <= 0) return overview;
  const std::int64_t most = std::max<std::int64_t>(32, kMostCells / static_cast<std::int64_t>(known.size()));
  const std::int64_t wanted = std::min<std::int64_t>(columns, most);
  overview.window = window;
  overview.column_ns = (window.length() + wanted - 1) / wanted;
  const auto count = static_cast<std::size_t>((window.length() + overview.column_ns - 1) / overview.column_ns);
  // Buckets about as long as a column: half of it to twice.
  int level = 0;
  while (level < kMaxLevel && bucket_ns(level) * 2 <= overview.column_ns) ++level;
  std::map<int, std::map<int, std::size_t>> by_level;  // level, rank, row
  for (std::size_t i = 0; i < known.size(); ++i) {
    const RankSpace& k = known[i];
    overview.ranks.push_back(k.rank);
    overview.highest.emplace_back(count, k.finest < 0 ? k.peak_bytes : 0);
    if (k.finest < 0) continue;
    const int own = std::clamp(level, k.finest, k.coarsest);
    if (k.made.empty()) {
      by_level[own][k.rank] = i;
    } else {
      raise(overview.highest[i], entries(k, space, own, window), bucket_ns(own), window, overview.column_ns);
    }
  }
  for (const auto& [own, ranks] : by_level) add_level(overview, space, own, ranks);
  return overview;
}

void MemoryTimeline::add_level(MemoryOverview& overview, Space space, int level,
                               const std::map<int, std::size_t>& ranks) const {
  const TimeWindow window = overview.window;
  const std::string sql = "SELECT m.rank, m.totals FROM memory_level m WHERE m.run = ? AND m.space = ? AND m.level = ?";
  Rows rows =
      profile_.rows(sql + kFromChunk, {Value(facts_->run), Value(std::string(to_string(space))),
                                       Value(std::int64_t{level}), Value(window.end_ns), Value(window.begin_ns)});
  std::vector<MemoryEntry> entries;
  int rank = -1;
  const auto add = [&] {
    const auto row = ranks.find(rank);
    if (row != ranks.end()) raise(overview.highest[row->second], entries, bucket_ns(level), window, overview.column_ns);
    entries.clear();
  };
  while (rows.next()) {
    if (rows.small(0) != rank) add();
    rank = rows.small(0);
    if (!decode_totals(rows.bytes(1), entries)) damaged(profile_, rank);
  }
  add();
}

std::optional<MemoryInstant> MemoryTimeline::at(int rank, Space space, std::int64_t time_ns) const {
  const RankSpace* known = facts_->find(space, rank);
  if (known == nullptr) return std::nullopt;
  MemoryInstant instant;
  if (known->finest < 0) {
    instant.parts = known->at_peak;
  } else {
    const std::shared_ptr<const RankLive> all = live(rank);
    const SpaceLive& live = (*all)[static_cast<std::size_t>(space)];
    instant.parts = live.base;
    for (const LiveChange& c : live.changes) {
      if (c.time_ns > time_ns) break;
      instant.parts[static_cast<std::size_t>(c.category)] = c.live_bytes;
      instant.time_ns = c.time_ns;
      instant.op = c.op;
      instant.step = c.step;
    }
  }
  instant.total_bytes = total(instant.parts);
  return instant;
}

std::optional<MemoryInstant> MemoryTimeline::first_above(int rank, Space space, std::int64_t bytes) const {
  const RankSpace* known = facts_->find(space, rank);
  if (known == nullptr || known->peak_bytes <= bytes) return std::nullopt;
  if (known->finest < 0) return MemoryInstant{0, known->peak_bytes, known->at_peak, -1, 0};
  const std::shared_ptr<const RankLive> all = live(rank);
  const SpaceLive& live = (*all)[static_cast<std::size_t>(space)];
  MemoryInstant now{0, total(live.base), live.base, -1, 0};
  if (now.total_bytes > bytes) return now;
  for (const LiveChange& c : live.changes) {
    std::int64_t& part = now.parts[static_cast<std::size_t>(c.category)];
    now.total_bytes += c.live_bytes - part;
    part = c.live_bytes;
    if (now.total_bytes <= bytes) continue;
    now.time_ns = c.time_ns;
    now.op = c.op;
    now.step = c.step;
    return now;
  }
  return std::nullopt;
}

}  // namespace shardscope
