#pragma once
// How long is each rank busy with each class of work, in a stretch of time?
//
//   for (const AreaRow& row : area_summary(timeline, {begin_ns, end_ns}, {0, 3})) ...

#include <array>
#include <vector>

#include "profiler/query/timeline.h"

namespace shardscope {

struct AreaRow {
  int rank = 0;
  std::array<std::int64_t, kWorkClasses> busy_ns{};  ///< over all lanes; classes on different lanes may overlap
};

/// Of ranks that have a lane. Exact: of lanes of many slices whole buckets from the levels of detail, and the slices at
/// both edges, so that its cost does not follow their number. Where slices of a lane overlap, as calls within calls, an
/// instant counts for the one that began last.
std::vector<AreaRow> area_summary(const Timeline& timeline, TimeWindow time, const RankSet& ranks);

}  // namespace shardscope
