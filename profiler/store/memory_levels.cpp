#include "profiler/store/memory_levels.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "profiler/store/chunks.h"
#include "profiler/store/int_rows.h"
#include "profiler/store/profile.h"

namespace shardscope {
namespace {

constexpr int kChangesPerBucket = 16;
constexpr std::int64_t kBucketsAtTheBottom = 512, kBucketsAtTheTop = 64;
constexpr std::int64_t kLargestBucket = std::int64_t{1} << 61;
/// Of one category: the sum of all fits.
constexpr std::int64_t kMostBytes = std::int64_t{1} << 58;

std::size_t index(Category category) { return static_cast<std::size_t>(category); }

/// Builds entries of one level from changes in order of time.
class Thinner {
 public:
  Thinner(std::int64_t bucket_ns, std::int64_t start_ns, const MemoryParts& base)
      : bucket_ns_(bucket_ns), now_(base), total_(total(base)) {
    open(start_ns / bucket_ns);
  }
  void change(const LiveChange& change) {
    const std::int64_t bucket = change.time_ns / bucket_ns_;
    if (bucket != entries_.back().bucket) {
      if (bucket > entries_.back().bucket + 1) open(entries_.back().bucket + 1);  // nothing changes until then
      open(bucket);
    }
    std::int64_t& live = now_[index(change.category)];
    total_ += change.live_bytes - live;
    live = change.live_bytes;
    MemoryEntry& entry = entries_.back();
    entry.lowest = std::min(entry.lowest, total_);
    if (total_ > entry.highest) {
      entry.highest = total_;
      entry.parts = now_;
    }
  }
  std::vector<MemoryEntry> finish() {
    open(entries_.back().bucket + 1);
    return std::move(entries_);
  }

 private:
  void open(std::int64_t bucket) { entries_.push_back({bucket, total_, total_, now_}); }
  std::int64_t bucket_ns_;
  MemoryParts now_;
  std::int64_t total_;
  std::vector<MemoryEntry> entries_;
};

[[noreturn]] void damaged(const std::string& file, int rank) {
  throw Error(ErrorKind::kParse, file + ": damaged (memory of rank " + std::to_string(rank) + " cannot be read)");
}

/// Categories that no sample tells of, from their peaks: they were there all the time.
void add_constant(RankLive& memory, sqlite3* database, const std::string& file, std::int64_t run, int rank) {
  Rows rows(database, file, "SELECT space, category, at_peak_bytes FROM memory_peak WHERE run = ? AND rank = ?",
            {Value(run), Value(std::int64_t{rank})});
  while (rows.next()) {
    const auto space = from_name<Space>(rows.text(0));
    const auto category = from_name<Category>(rows.text(1));
    const std::int64_t bytes = rows.integer(2);
    if (!space || !category || bytes < 0 || bytes > kMostBytes) damaged(file, rank);
    SpaceLive& m = memory[static_cast<std::size_t>(*space)];
    const auto same = [&](const LiveChange& c) { return c.category == *category; };
    if (m.base[index(*category)] == 0 && std::none_of(m.changes.begin(), m.changes.end(), same))
      m.base[index(*category)] = bytes;
  }
}

void write_space(Statement& insert, std::int64_t run, int rank, std::size_t space, const SpaceLive& memory) {
  const std::int64_t end_ns = memory.changes.empty() ? 0 : memory.changes.back().time_ns;
  int level = finest_memory_level(static_cast<std::int64_t>(memory.changes.size()), end_ns);
  std::vector<MemoryEntry> entries = thin(memory, bucket_ns(level));
  for (;; ++level, entries = coarsen(entries)) {
    const std::span<const MemoryEntry> all(entries);
    for (std::size_t first = 0; first < all.size(); first += kChunkRows) {
      const auto chunk = all.subspan(first, std::min(kChunkRows, all.size() - first));
      const std::string totals = encode_totals(chunk), parts = encode_parts(chunk);
      insert.run(run, rank, to_string(static_cast<Space>(space)), level, static_cast<std::int64_t>(chunk.size()),
                 chunk.front().bucket << (2 * level), (chunk.back().bucket + 1) << (2 * level), totals, parts);
    }
    if (level >= coarsest_memory_level(end_ns)) return;
  }
}

}  // namespace

std::int64_t total(const MemoryParts& parts) { return std::accumulate(parts.begin(), parts.end(), std::int64_t{0}); }

std::int64_t SpaceLive::start_ns() const { return changes.empty() || total(base) > 0 ? 0 : changes.front().time_ns; }

RankLive load_rank_live(sqlite3* database, const std::string& file, std::int64_t run, int rank) {
  RankLive memory;
  Rows rows(database, file, "SELECT start_ns, data FROM memory_chunk WHERE run = ? AND rank = ? ORDER BY start_ns, id",
            {Value(run), Value(std::int64_t{rank})});
  bool sound = true;
  while (rows.next()) {
    const bool whole = decode_memory(rows.bytes(1), rows.integer(0), [&](const MemoryEvent& e) {
      sound = sound && e.live_bytes >= 0 && e.live_bytes <= kMostBytes;
      if (!sound) return;
      SpaceLive& m = memory[static_cast<std::size_t>(e.space)];
      if (e.op.index < 0 && m.changes.empty()) {
        m.base[index(e.category)] = e.live_bytes;
      } else {
        m.changes.push_back({e.time_ns, e.live_bytes, e.op.index, e.step, e.category});
      }
    });
    if (!whole || !sound) damaged(file, rank);
  }
  const auto before = [](const LiveChange& a, const LiveChange& b) { return a.time_ns < b.time_ns; };
  for (SpaceLive& m : memory) {
    if (!std::is_sorted(m.changes.begin(), m.changes.end(), before))
      std::stable_sort(m.changes.begin(), m.changes.end(), before);
  }
  add_constant(memory, database, file, run, rank);
  return memory;
}

std::vector<MemoryEntry> thin(const SpaceLive& memory, std::int64_t bucket_ns) {
  if (memory.empty()) return {};
  Thinner thinner(bucket_ns, memory.start_ns(), memory.base);
  for (const LiveChange& change : memory.changes) thinner.change(change);
  return thinner.finish();
}

std::vector<MemoryEntry> coarsen(std::span<const MemoryEntry> entries) {
  std::vector<MemoryEntry> coarse;
  const auto open = [&coarse](std::int64_t bucket, const MemoryEntry& like) {
    coarse.push_back(like);
    coarse.back().bucket = bucket;
  };
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const MemoryEntry& e = entries[i];
    const std::int64_t bucket = e.bucket / kLevelFactor;
    if (coarse.empty() || coarse.back().bucket != bucket) {
      if (i > 0 && bucket > coarse.back().bucket + 1) open(coarse.back().bucket + 1, entries[i - 1]);
      const bool lasted = i > 0 && e.bucket % kLevelFactor != 0;  // the entry before reaches into this bucket
      open(bucket, lasted ? entries[i - 1] : e);
    }
    MemoryEntry& sum = coarse.back();
    sum.lowest = std::min(sum.lowest, e.lowest);
    if (e.highest > sum.highest) {
      sum.highest = e.highest;
      sum.parts = e.parts;
    }
  }
  if (!coarse.empty()) open(coarse.back().bucket + 1, entries.back());
  return coarse;
}

int coarsest_memory_level(std::int64_t end_ns) {
  int level = 0;
  while (level < kMaxLevel && bucket_ns(level + 1) <= end_ns / kBucketsAtTheTop) ++level;
  return level;
}

int finest_memory_level(std::int64_t changes, std::int64_t end_ns) {
  const std::int64_t wanted = end_ns / std::max(kBucketsAtTheBottom, changes / kChangesPerBucket);
  int level = 0;
  while (level < kMaxLevel && bucket_ns(level + 1) <= wanted) ++level;
  return std::min(level, coarsest_memory_level(end_ns));
}

std::string encode_totals(std::span<const MemoryEntry> entries) {
  std::string text = "[";
  for (const MemoryEntry& e : entries) append_row<3>(text, {e.bucket, e.lowest, e.highest});
  return text + "]";
}

std::string encode_parts(std::span<const MemoryEntry> entries) {
  std::string text = "[";
  for (const MemoryEntry& e : entries) append_row<kCategories>(text, e.parts);
  return text + "]";
}

bool decode_totals(std::string_view totals, std::vector<MemoryEntry>& entries) {
  return read_rows<3>(totals, [&](const std::array<std::int64_t, 3>& v) {
    const bool later = entries.empty() || v[0] > entries.back().bucket;
    const bool valid =
        v[0] >= 0 && v[0] < kLargestBucket && later && v[1] >= 0 && v[1] <= v[2] && v[2] <= kCategories * kMostBytes;
    if (valid) entries.push_back({v[0], v[1], v[2], {}});
    return valid;
  });
}

bool decode_parts(std::string_view parts, std::span<MemoryEntry> entries) {
  std::size_t at = 0;
  const auto add = [&](const MemoryParts& v) {
    const auto valid = [](std::int64_t bytes) { return bytes >= 0 && bytes <= kMostBytes; };
    if (at == entries.size() || !std::all_of(v.begin(), v.end(), valid)) return false;
    if (total(v) != entries[at].highest) return false;
    entries[at++].parts = v;
    return true;
  };
  constexpr std::size_t kCategoriesBefore = kCategories - 1;  // of files of version 3, which had no "other"
  const auto add_before = [&](const std::array<std::int64_t, kCategoriesBefore>& v) {
    MemoryParts wider{};
    std::copy(v.begin(), v.end(), wider.begin());
    return add(wider);
  };
  if (read_rows<kCategories>(parts, add) && at == entries.size()) return true;
  at = 0;
  return read_rows<kCategoriesBefore>(parts, add_before) && at == entries.size();
}

void write_memory_levels(Connection& connection, std::int64_t run) {
  Transaction transaction(connection);
  std::vector<int> ranks;
  {
    Rows rows(connection.handle(), connection.path(),
              "SELECT DISTINCT rank FROM memory_chunk c WHERE run = ? AND NOT EXISTS (SELECT 1 FROM memory_level l "
              "WHERE l.run = c.run AND l.rank = c.rank) ORDER BY rank",
              {Value(run)});
    while (rows.next()) ranks.push_back(rows.small(0));
  }
  Statement insert(
      connection,
      "INSERT INTO memory_level (run, rank, space, level, entries, start_ns, end_ns, totals, parts) VALUES "
      "(?, ?, ?, ?, ?, ?, ?, ?, ?)");
  for (int rank : ranks) {
    const RankLive memory = load_rank_live(connection.handle(), connection.path(), run, rank);
    for (std::size_t space = 0; space < memory.size(); ++space) {
      if (!memory[space].empty()) write_space(insert, run, rank, space, memory[space]);
    }
  }
  transaction.commit();
}

}  // namespace shardscope
