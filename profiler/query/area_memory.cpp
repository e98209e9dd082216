#include "profiler/query/area_memory.h"

#include <algorithm>

namespace shardscope {
namespace {

constexpr int kStretches = 256;  ///< highest and lowest are exact however many; fewer are read faster

AreaMemory row_of(const MemoryTimeline& memory, int rank, Space space, TimeWindow time) {
  AreaMemory row{rank, space, 0, 0, 0, 0, {}};
  const auto live_at = [&](std::int64_t ns) {
    const auto instant = memory.at(rank, space, ns);
    return instant ? instant->total_bytes : 0;
  };
  row.at_begin = live_at(time.begin_ns);
  row.at_end = live_at(time.end_ns);
  row.lowest = std::min(row.at_begin, row.at_end);
  row.highest = -1;
  for (const MemoryStretch& stretch : memory.look(rank, space, time, kStretches)) {
    row.lowest = std::min(row.lowest, stretch.lowest);
    if (stretch.highest <= row.highest) continue;
    row.highest = stretch.highest;
    row.at_highest = stretch.parts;
  }
  row.highest = std::max({row.highest, row.at_begin, std::int64_t{0}});
  return row;
}

}  // namespace

std::vector<AreaMemory> area_memory(const MemoryTimeline& memory, TimeWindow time, const RankSet& ranks,
                                    const std::function<bool()>& stopped) {
  std::vector<AreaMemory> rows;
  for (int space = 0; space < kSpaces; ++space) {
    for (const RankSpace& known : memory.facts().of(static_cast<Space>(space))) {
      if (!ranks.has(known.rank)) continue;
      if (stopped()) return rows;
      rows.push_back(row_of(memory, known.rank, static_cast<Space>(space), time));
    }
  }
  std::stable_sort(rows.begin(), rows.end(), [](const AreaMemory& a, const AreaMemory& b) { return a.rank < b.rank; });
  return rows;
}

}  // namespace shardscope
