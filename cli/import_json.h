#pragma once
// What `report --json` says of an imported run: docs/import.md lists the keys.
//
//   nlohmann::json json = import_json(profile, run.id);    // null for a run that was not imported

#include <nlohmann/json.hpp>

#include "profiler/store/profile.h"

namespace shardscope::cli {

/// source, rank, world, counts, memory, first_ns, last_ns, base_ns, diagnostics of the run, and, if it has several
/// files, `files` with the same for each; what a format cannot have is null. Counts of several files are added up.
nlohmann::json import_json(const Profile& profile, std::int64_t run);

}  // namespace shardscope::cli
