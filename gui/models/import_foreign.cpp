#include "gui/models/import_foreign.h"

#include <algorithm>

#include "core/error.h"
#include "profiler/import/import_files.h"

namespace shardscope::gui {

namespace {

bool is_foreign(const std::string& path, ImportControl& control) {
  try {
    const ImportSource source(path, control);
    const auto all = importers();
    return std::any_of(all.begin(), all.end(), [&](const Importer* i) { return i->recognises(source); });
  } catch (const Error&) {
    return false;  // missing, unreadable: the profile's reader says so
  }
}

}  // namespace

std::vector<std::string> import_foreign(const std::vector<std::string>& paths, const std::string& target,
                                        const std::atomic<bool>& stop, const ImportProgress& progress) {
  ImportControl control;
  control.progress = [&](const std::string& file, std::int64_t done, std::int64_t size) {
    if (stop) control.cancelled = true;
    progress(file, done, size);
  };
  std::vector<std::string> foreign, profiles;
  for (const std::string& path : paths) {
    if (!is_foreign(path, control)) {
      profiles.push_back(path);
      continue;
    }
    if (foreign.empty()) profiles.push_back(target);
    foreign.push_back(path);
  }
  if (!foreign.empty()) import_files(foreign, {.out = target}, control);
  return profiles;
}

}  // namespace shardscope::gui
