#pragma once
// What is memory used for, at the peak and over time?

#include <vector>

#include "core/program/types.h"
#include "profiler/store/profile.h"

namespace shardscope {

struct MemoryRow {
  int rank = 0;
  Space space = Space::kDevice;
  Category category = Category::kWorkspace;
  std::int64_t at_peak_bytes = 0;   ///< live when the space was at its peak: these sum to the space's peak
  std::int64_t own_peak_bytes = 0;  ///< highest of this category by itself
};

struct MemorySample {
  std::int64_t time_ns = 0;  ///< since the start of the run
  std::int64_t step = 0;
  Category category = Category::kWorkspace;
  std::int64_t live_bytes = 0;  ///< of this category from here to its next sample
};

/// By rank, space, category; categories that were never used are left out.
std::vector<MemoryRow> memory_by_category(const Profile& profile, std::int64_t run);
/// Every change of the live bytes of one space of one rank, in time order; `step` < 0: all steps.
std::vector<MemorySample> memory_over_time(const Profile& profile, std::int64_t run, int rank, Space space,
                                           std::int64_t step = -1);

}  // namespace shardscope
