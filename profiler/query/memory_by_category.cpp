#include "profiler/query/memory_by_category.h"

#include <algorithm>
#include <tuple>

#include "core/error.h"
#include "profiler/store/chunks.h"

namespace shardscope {
namespace {

template <class E>
E enum_of(const Profile& profile, const char* column, const std::string& name) {
  const auto value = from_name<E>(name);
  if (!value) throw Error(ErrorKind::kParse, profile.path() + ": damaged (" + column + " is '" + name + "')");
  return *value;
}

}  // namespace

std::vector<MemoryRow> memory_by_category(const Profile& profile, std::int64_t run) {
  std::vector<MemoryRow> memory;
  Rows rows = profile.rows(
      "SELECT rank, space, category, at_peak_bytes, own_peak_bytes FROM memory_peak WHERE run = ? "
      "AND (at_peak_bytes <> 0 OR own_peak_bytes <> 0)",
      {Value(run)});
  while (rows.next()) {
    memory.push_back({rows.small(0), enum_of<Space>(profile, "memory_peak.space", rows.text(1)),
                      enum_of<Category>(profile, "memory_peak.category", rows.text(2)), rows.integer(3),
                      rows.integer(4)});
  }
  std::sort(memory.begin(), memory.end(), [](const MemoryRow& a, const MemoryRow& b) {
    return std::tie(a.rank, a.space, a.category) < std::tie(b.rank, b.space, b.category);
  });
  return memory;
}

std::vector<MemorySample> memory_over_time(const Profile& profile, std::int64_t run, int rank, Space space,
                                           std::int64_t step) {
  std::vector<MemorySample> samples;
  Rows rows = profile.rows("SELECT start_ns, data FROM memory_chunk WHERE run = ? AND rank = ? ORDER BY start_ns, id",
                           {Value(run), Value(std::int64_t{rank})});
  while (rows.next()) {
    const bool whole = decode_memory(rows.bytes(1), rows.integer(0), [&](const MemoryEvent& event) {
      if (event.space != space || (step >= 0 && event.step != step)) return;
      samples.push_back({event.time_ns, event.step, event.category, event.live_bytes});
    });
    if (!whole) throw Error(ErrorKind::kParse, profile.path() + ": damaged (memory_chunk.data)");
  }
  std::stable_sort(samples.begin(), samples.end(),
                   [](const MemorySample& a, const MemorySample& b) { return a.time_ns < b.time_ns; });
  return samples;
}

}  // namespace shardscope
