#pragma once
// Joins profiles: ranks that are processes write one file each, and a set of runs can be collected in one file.
//
//   ProfileWriter writer(part_path("run.db", rank), info, {.run_key = key});   // in each process
//   merge_parts("run.db");                                                     // after the last has ended

#include <string>

namespace shardscope {

/// "run.db.rank3": what rank 3 writes when each rank is a process.
std::string part_path(const std::string& path, int rank);

/// Moves every part of `path` whose writer has ended (or was killed) into `path`, and removes it. Parts that are still
/// being written stay. Throws Error; a part that could not be moved whole is left as it is.
void merge_parts(const std::string& path);

/// Whether there are files named as parts of `path`.
bool has_parts(const std::string& path);

/// Appends the runs of `source` to `target`, which is created if missing. A run with a key that `target` knows adds
/// its ranks to that run. All or nothing. Throws Error as opening either does, and {kParse} if both hold the same rank
/// of one run.
void merge_profile(const std::string& target, const std::string& source);

}  // namespace shardscope
