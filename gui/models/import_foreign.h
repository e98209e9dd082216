#pragma once
// Opens what other programs wrote: files that an importer recognises become one run of a profile. No Qt.
//
//   std::vector<std::string> profiles = import_foreign({"trace.json.gz", "run.db"}, "scratch.db", stop, progress);
//   // {"scratch.db", "run.db"}

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace shardscope::gui {

using ImportProgress = std::function<void(const std::string& file, std::int64_t done, std::int64_t size)>;

/// The paths, with those of other programs replaced by `target` at the place of their first; as they are if there are
/// none. What nobody recognises stays in the list, for the profile's reader to refuse. Throws Error as import_files().
std::vector<std::string> import_foreign(const std::vector<std::string>& paths, const std::string& target,
                                        const std::atomic<bool>& stop, const ImportProgress& progress);

}  // namespace shardscope::gui
