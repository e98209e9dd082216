#pragma once
// Packs what was recorded as JSON: a run is then a third of the size, in chunks of full length in order of time.
//
//   pack_run(connection, run);                        // a run that ended; in one transaction
//   CompactResult result = compact_profile("run.db"); // all runs, missing levels of detail too, and the file shrinks

#include <cstdint>
#include <string>

#include "profiler/store/sqlite.h"

namespace shardscope {

/// Runs with fewer slices stay readable with any SQLite tool when they end.
inline constexpr std::int64_t kSlicesWorthPacking = 100'000;

/// Slices of a run, packed or not.
std::int64_t count_slices(Connection& connection, std::int64_t run);

/// Packs the slices and memory samples of a run that are JSON. What is packed already is left as it is.
void pack_run(Connection& connection, std::int64_t run);

struct CompactResult {
  std::int64_t bytes_before = 0, bytes_after = 0;
};
/// Throws Error as opening for writing does; {kIo} if the disk has no room for the copy that SQLite makes.
CompactResult compact_profile(const std::string& path);

}  // namespace shardscope
