#pragma once
// What ranks that were killed had traced, and not yet written into their profile.
//
//   recover_events("run.db");     // before it is opened; again and again does no harm

#include <string>

namespace shardscope {

/// Brings what waits in event files beside `path` (event_file.h) into it and removes them; those of runs that are
/// still under way stay, as do all where the profile cannot be written now. Throws nothing.
void recover_events(const std::string& path);

}  // namespace shardscope
