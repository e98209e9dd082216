#pragma once
// A run of a profile as JSON, with the keys of `train --json`; docs/json.md lists them.
//
//   nlohmann::json runs = {run_json(profile, list_runs(profile).front())};

#include <nlohmann/json.hpp>
#include <string>

#include "profiler/query/list_runs.h"
#include "profiler/store/profile.h"

namespace shardscope::cli {

/// id, name, source ("measured" or "predicted"), status, model, zero_stage, world, steps, losses, step_time_s, mfu,
/// tokens_per_s, ranks, breakdown_s, profile. Seconds and bytes.
nlohmann::json run_json(const Profile& profile, const RunRow& run);

/// [{"rank", "peak_bytes", "memory_by_category": {SPACE: {CATEGORY: bytes}}, "rss_bytes" (null: not known)}];
/// peak_bytes is that of the device space; what was not live at the peak is left out.
nlohmann::json ranks_json(const Profile& profile, std::int64_t run);

/// One line; text that is not UTF-8 is replaced, NaN is null.
std::string to_line(const nlohmann::json& json);

}  // namespace shardscope::cli
