#pragma once
// Live memory of one space of a rank: every change, and levels of detail of it in buckets of 4^level ns that keep the
// highest and the lowest, so that a short peak never vanishes from a picture.
//
//   RankLive memory = load_rank_live(database, file, run, rank);
//   std::vector<MemoryEntry> fine = thin(memory[0], bucket_ns(level));
//   std::vector<MemoryEntry> coarse = coarsen(fine);     // level + 1
//   write_memory_levels(connection, run);                // all ranks of a run into the table memory_level

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/program/types.h"
#include "profiler/store/levels.h"

namespace shardscope {

/// Live bytes by category.
using MemoryParts = std::array<std::int64_t, kCategories>;
std::int64_t total(const MemoryParts& parts);

/// Live bytes of one category from here on.
struct LiveChange {
  std::int64_t time_ns = 0, live_bytes = 0;
  std::int32_t op = 0, step = 0;
  Category category = Category::kWorkspace;
};

struct SpaceLive {
  MemoryParts base{};               ///< live before the first step: buffers that stay
  std::vector<LiveChange> changes;  ///< in order of time
  bool empty() const { return changes.empty() && total(base) == 0; }
  std::int64_t start_ns() const;  ///< 0 if anything is known from the beginning, else the first change
};
using RankLive = std::array<SpaceLive, kSpaces>;

/// Rows of op -1 are the base. Where a recording lacks them (older files), a category that never changes is taken from
/// its peak. Throws Error{kParse} naming `file` for what no recorder writes.
RankLive load_rank_live(sqlite3* database, const std::string& file, std::int64_t run, int rank);

/// From `bucket` * its length on, up to the next entry; entries of one level are contiguous. Where an entry lasts for
/// more than one bucket nothing changes in it. The last one lasts for ever.
struct MemoryEntry {
  std::int64_t bucket = 0;
  std::int64_t lowest = 0, highest = 0;  ///< of the sum over the categories
  MemoryParts parts{};                   ///< at the highest
  friend bool operator==(const MemoryEntry&, const MemoryEntry&) = default;
};

/// Buckets of any length. Nothing for an empty memory.
std::vector<MemoryEntry> thin(const SpaceLive& memory, std::int64_t bucket_ns);
std::vector<MemoryEntry> coarsen(std::span<const MemoryEntry> entries);

/// About 16 changes a bucket, but never less than some hundred buckets over the run.
int finest_memory_level(std::int64_t changes, std::int64_t end_ns);
int coarsest_memory_level(std::int64_t end_ns);

/// The columns `totals` and `parts` of memory_level, row by row the same entries.
std::string encode_totals(std::span<const MemoryEntry> entries);
std::string encode_parts(std::span<const MemoryEntry> entries);
/// Appends; the parts are left 0. False if the text is not what encode_totals() writes.
bool decode_totals(std::string_view totals, std::vector<MemoryEntry>& entries);
/// Fills the parts of the last entries; false if there is not one row for each from `first` on.
bool decode_parts(std::string_view parts, std::span<MemoryEntry> entries);

/// Adds the levels of all ranks of `run` that have none, in one transaction.
void write_memory_levels(Connection& connection, std::int64_t run);

}  // namespace shardscope
