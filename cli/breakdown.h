#pragma once
// What `shardscope breakdown` shows, gathered once for its tables and its JSON.

#include <nlohmann/json.hpp>

#include "profiler/query/collective_bandwidth.h"
#include "profiler/query/kernel_times.h"
#include "profiler/query/list_runs.h"
#include "profiler/query/live_allocations.h"
#include "profiler/query/memory_by_category.h"
#include "profiler/query/time_breakdown.h"

namespace shardscope::cli {

/// Memory of the fullest device at its peak.
struct PeakMemory {
  int rank = 0;
  std::int64_t bytes = 0;
  std::vector<MemoryRow> categories;     ///< of the device
  std::optional<LiveAllocations> alive;  ///< nothing if changes of memory were not recorded
};

struct BreakdownView {
  RunRow run;
  TimeBreakdown time;
  DeviceRoof roof;
  std::vector<KernelTime> kernels;
  std::vector<CollectiveBandwidth> collectives;
  std::vector<CopyTraffic> copies;
  PeakMemory memory;
  std::optional<double> mfu;
};

nlohmann::json breakdown_json(const std::string& profile, const BreakdownView& view);

}  // namespace shardscope::cli
