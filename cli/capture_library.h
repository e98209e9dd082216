#pragma once
// Where the library is that `record` loads into jobs.

#include <string>

namespace shardscope::cli {

/// SHARDSCOPE_CAPTURE_LIBRARY, or beside this program as built or installed. Throws Error{kConfig} saying where it was
/// looked for, or that this build has none.
std::string find_capture_library();

}  // namespace shardscope::cli
