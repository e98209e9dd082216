#pragma once
// How much memory does each rank hold over time, of what, where is its peak, and when is it first too much? As much of
// it as a picture can show; the highest and the lowest of each stretch are kept, so a short peak never vanishes.
//
//   auto facts = load_memory_facts(profile, run.id);          // once; may be shared between threads
//   const MemoryTimeline memory(profile, facts);
//   for (const MemoryStretch& s : memory.look(17, Space::kDevice, facts->extent, pixels)) ...
//
// Reads the levels of detail that the profile holds; where it holds none (a run under way, an older file) they are made
// with the facts. One MemoryTimeline per thread, like its Profile, which must outlive it.

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "profiler/query/timeline.h"
#include "profiler/store/memory_levels.h"

namespace shardscope {

/// One space of one rank.
struct RankSpace {
  int rank = 0;
  std::int64_t peak_bytes = 0;
  MemoryParts at_peak{};                         ///< what was live at the peak: these sum to it
  int finest = -1, coarsest = -1;                ///< levels of detail; -1: nothing ever changed
  std::map<int, std::vector<MemoryEntry>> made;  ///< those that the file lacks
};

/// Changes of the ranks last looked at closely.
class LiveCache {
 public:
  std::shared_ptr<const RankLive> get(int rank) const;
  void put(int rank, std::shared_ptr<const RankLive> live);

 private:
  mutable std::mutex mutex_;
  std::vector<std::pair<int, std::shared_ptr<const RankLive>>> kept_;  ///< the latest last
};

struct MemoryFacts {
  std::int64_t run = 0;
  std::int64_t limit_bytes = 0;                        ///< of a device, as the run was told; 0: none
  TimeWindow extent;                                   ///< of the run; empty if nothing is known
  std::array<std::vector<RankSpace>, kSpaces> spaces;  ///< by rank; only ranks that ever hold anything there
  std::shared_ptr<LiveCache> cache;                    ///< shared: what one thread read serves the others
  const std::vector<RankSpace>& of(Space space) const { return spaces[static_cast<std::size_t>(space)]; }
  const RankSpace* find(Space space, int rank) const;
  std::vector<int> ranks() const;  ///< of all spaces, ascending
};

/// Throws Error{kParse} for what no recorder writes.
std::shared_ptr<const MemoryFacts> load_memory_facts(const Profile& profile, std::int64_t run);

/// Live bytes in a stretch of time, about a pixel or as long as nothing changes.
struct MemoryStretch {
  TimeWindow time;
  std::int64_t lowest = 0, highest = 0;  ///< of the sum over the categories
  MemoryParts parts{};                   ///< at the highest
};

/// The highest live bytes of each rank in columns of time.
struct MemoryOverview {
  TimeWindow window;
  std::int64_t column_ns = 1;
  std::vector<int> ranks;
  std::vector<std::vector<std::int64_t>> highest;  ///< by rank as `ranks`, then column
};

/// Right after a change.
struct MemoryInstant {
  std::int64_t time_ns = 0, total_bytes = 0;
  MemoryParts parts{};
  std::int32_t op = -1, step = 0;  ///< of the Alloc or Free; -1: before any
};

class MemoryTimeline {
 public:
  MemoryTimeline(const Profile& profile, std::shared_ptr<const MemoryFacts> facts);
  const MemoryFacts& facts() const { return *facts_; }
  const Profile& profile() const { return profile_; }

  /// Contiguous, inside the window. Nothing if the rank holds nothing in that space.
  std::vector<MemoryStretch> look(int rank, Space space, TimeWindow window, int pixels) const;
  /// At most `columns`; fewer where there are so many ranks that it would be more than a million cells.
  MemoryOverview overview(Space space, TimeWindow window, int columns) const;

  std::optional<MemoryInstant> at(int rank, Space space, std::int64_t time_ns) const;
  /// The first change that leaves more than `bytes` live.
  std::optional<MemoryInstant> first_above(int rank, Space space, std::int64_t bytes) const;
  std::shared_ptr<const RankLive> live(int rank) const;  ///< every change; read once and kept for a while

 private:
  std::vector<MemoryEntry> entries(const RankSpace& known, Space space, int level, TimeWindow window) const;
  void add_level(MemoryOverview& overview, Space space, int level, const std::map<int, std::size_t>& ranks) const;
  const Profile& profile_;
  std::shared_ptr<const MemoryFacts> facts_;
};

}  // namespace shardscope
