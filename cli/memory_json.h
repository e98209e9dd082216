#pragma once
// Memory peaks as JSON, with the keys that train and predict share; docs/json.md lists them.
//
//   json["ranks"].push_back(rank_json(0, peak, rss_bytes));

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/engine/suggest_fit.h"
#include "core/program/program.h"

namespace shardscope::cli {

/// {SPACE: {CATEGORY: bytes}}: what was live when each space was at its peak, empty entries left out.
nlohmann::json memory_by_category_json(const MemoryPeak& peak);

/// {"rank", "peak_bytes" (device space), "memory_by_category", "rss_bytes" (null if 0: not known)}.
nlohmann::json rank_json(int rank, const MemoryPeak& peak, std::int64_t rss_bytes);

/// [{"change", "device_peak_bytes"}]
nlohmann::json suggestions_json(const std::vector<FitSuggestion>& suggestions);

}  // namespace shardscope::cli
