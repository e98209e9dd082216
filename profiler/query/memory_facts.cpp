// Which ranks hold memory where, their peaks and levels of detail: what MemoryTimeline starts from.

#include <algorithm>
#include <set>

#include "core/error.h"
#include "profiler/query/memory_by_category.h"
#include "profiler/query/memory_timeline.h"

namespace shardscope {
namespace {

constexpr std::int64_t kMostKept = 4 << 20;  ///< changes, of 32 bytes each

class Facts {
 public:
  Facts(const Profile& profile, std::int64_t run) : profile_(profile), run_(run) {}

  std::shared_ptr<const MemoryFacts> load() {
    auto facts = std::make_shared<MemoryFacts>();
    facts->run = run_;
    facts->cache = std::make_shared<LiveCache>();
    load_limit(*facts);
    load_peaks();
    load_levels();
    make_levels();
    load_steps();
    for (std::size_t space = 0; space < spaces_.size(); ++space) {
      for (auto& [rank, known] : spaces_[space]) facts->spaces[space].push_back(std::move(known));
    }
    if (end_ns_ > begin_ns_) facts->extent = {begin_ns_, end_ns_};
    add_peaks(facts);
    return facts;
  }

 private:
  RankSpace& at(std::size_t space, int rank) {
    RankSpace& known = spaces_[space][rank];
    known.rank = rank;
    return known;
  }
  void reach(std::int64_t begin, std::int64_t end) {
    if (begin < 0 || end < begin || end > bucket_ns(kMaxLevel)) return;
    begin_ns_ = std::min(begin_ns_, begin);
    end_ns_ = std::max(end_ns_, end);
  }
  void load_limit(MemoryFacts& facts) const;
  void load_peaks();
  void load_levels();
  void make_levels();
  void load_steps();
  void add_peaks(const std::shared_ptr<MemoryFacts>& facts) const;

  const Profile& profile_;
  std::int64_t run_;
  std::array<std::map<int, RankSpace>, kSpaces> spaces_;
  std::int64_t begin_ns_ = bucket_ns(kMaxLevel), end_ns_ = 0;
};

void Facts::load_limit(MemoryFacts& facts) const {
  Rows rows = profile_.rows("SELECT device_memory_limit FROM run WHERE id = ?", {Value(run_)});
  if (rows.next()) facts.limit_bytes = std::max<std::int64_t>(0, rows.integer(0));
}

void Facts::load_peaks() {
  for (const MemoryRow& row : memory_by_category(profile_, run_)) {
    if (row.at_peak_bytes <= 0) continue;
    constexpr std::int64_t kMost = std::int64_t{1} << 58;
    if (row.at_peak_bytes > kMost)
      throw Error(ErrorKind::kParse, profile_.path() + ": damaged (memory_peak.at_peak_bytes is too large)");
    RankSpace& known = at(static_cast<std::size_t>(row.space), row.rank);
    std::int64_t& part = known.at_peak[static_cast<std::size_t>(row.category)];
    known.peak_bytes += row.at_peak_bytes - part;
    part = row.at_peak_bytes;
  }
}

void Facts::load_levels() {
  if (profile_.schema_version() < 3) return;
  Rows rows = profile_.rows(
      "SELECT space, level, rank, min(start_ns), max(end_ns) FROM memory_level WHERE run = ? GROUP BY space, level, "
      "rank "
      "ORDER BY space, level, rank",
      {Value(run_)});
  while (rows.next()) {
    const auto space = from_name<Space>(rows.text(0));
    const int level = rows.small(1);
    if (!space || level < 0 || level > kMaxLevel)
      throw Error(ErrorKind::kParse, profile_.path() + ": damaged (memory_level.space or level)");
    RankSpace& known = at(static_cast<std::size_t>(*space), rows.small(2));
    known.coarsest = level;
    if (known.finest >= 0) continue;
    known.finest = level;
    if (level > 0) reach(rows.integer(3), rows.integer(4) - bucket_ns(level));  // the last bucket is after all changes
  }
}

void Facts::make_levels() {
  std::vector<int> missing;
  Rows rows = profile_.rows("SELECT DISTINCT rank FROM memory_chunk WHERE run = ? ORDER BY rank", {Value(run_)});
  while (rows.next()) {
    const int rank = rows.small(0);
    const auto has_levels = [rank](const std::map<int, RankSpace>& space) {
      const auto known = space.find(rank);
      return known != space.end() && known->second.finest >= 0;
    };
    if (std::none_of(spaces_.begin(), spaces_.end(), has_levels)) missing.push_back(rank);
  }
  for (int rank : missing) {
    const RankLive live = load_rank_live(profile_.handle(), profile_.path(), run_, rank);
    for (std::size_t space = 0; space < live.size(); ++space) {
      if (live[space].empty()) continue;
      RankSpace& known = at(space, rank);
      const std::int64_t end_ns = live[space].changes.empty() ? 0 : live[space].changes.back().time_ns;
      known.finest = finest_memory_level(static_cast<std::int64_t>(live[space].changes.size()), end_ns);
      known.coarsest = coarsest_memory_level(end_ns);
      known.made[known.finest] = thin(live[space], bucket_ns(known.finest));
      for (int level = known.finest; level < known.coarsest; ++level)
        known.made[level + 1] = coarsen(known.made[level]);
      reach(live[space].start_ns(), end_ns);
    }
  }
}

void Facts::load_steps() {
  Rows rows = profile_.rows("SELECT min(start_ns), max(start_ns + dur_ns) FROM step WHERE run = ? HAVING count(*) > 0",
                            {Value(run_)});
  if (rows.next() && !rows.is_null(0)) reach(rows.integer(0), rows.integer(1));
}

/// Where the recording has no peaks, or a run is still under way, the levels know them.
void Facts::add_peaks(const std::shared_ptr<MemoryFacts>& facts) const {
  const MemoryTimeline timeline(profile_, facts);
  const TimeWindow all{0, std::max<std::int64_t>(1, facts->extent.end_ns)};
  for (std::size_t space = 0; space < kSpaces; ++space) {
    for (RankSpace& known : facts->spaces[space]) {
      if (known.finest < 0 || (known.peak_bytes > 0 && known.made.empty())) continue;
      for (const MemoryStretch& s : timeline.look(known.rank, static_cast<Space>(space), all, 64)) {
        if (s.highest <= known.peak_bytes) continue;
        known.peak_bytes = s.highest;
        known.at_peak = s.parts;
      }
    }
    std::erase_if(facts->spaces[space], [](const RankSpace& known) { return known.peak_bytes == 0; });
  }
}

}  // namespace

std::shared_ptr<const RankLive> LiveCache::get(int rank) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [kept, live] : kept_) {
    if (kept == rank) return live;
  }
  return nullptr;
}

void LiveCache::put(int rank, std::shared_ptr<const RankLive> live) {
  const std::lock_guard lock(mutex_);
  kept_.emplace_back(rank, std::move(live));
  std::int64_t changes = 0;
  for (std::size_t i = kept_.size(); i-- > 0;) {
    for (const SpaceLive& space : *kept_[i].second) changes += static_cast<std::int64_t>(space.changes.size());
    if (changes <= kMostKept || i + 1 == kept_.size()) continue;
    kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    return;
  }
}

const RankSpace* MemoryFacts::find(Space space, int rank) const {
  const std::vector<RankSpace>& all = of(space);
  const auto found =
      std::lower_bound(all.begin(), all.end(), rank, [](const RankSpace& s, int r) { return s.rank < r; });
  return found != all.end() && found->rank == rank ? &*found : nullptr;
}

std::vector<int> MemoryFacts::ranks() const {
  std::set<int> ranks;
  for (const auto& space : spaces) {
    for (const RankSpace& known : space) ranks.insert(known.rank);
  }
  return {ranks.begin(), ranks.end()};
}

std::shared_ptr<const MemoryFacts> load_memory_facts(const Profile& profile, std::int64_t run) {
  return Facts(profile, run).load();
}

}  // namespace shardscope
