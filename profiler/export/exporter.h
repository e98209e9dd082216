#pragma once
// What writes a run as a file that other programs read. One folder per format, one line in export_list.cpp:
//
//   const Exporter kCsv = {"csv", "one row for each slice", write};
//
//   export_run(profile, find_run(profile, "zero-2"), exporter_of("perfetto"), "trace.json");
//
// Memory stays the same however long the run is: an exporter reads through RunReader and writes through TextFile.

#include <span>
#include <string>

#include "profiler/export/text_file.h"
#include "profiler/query/list_runs.h"

namespace shardscope {

struct Exporter {
  const char* name;  ///< what --format takes
  const char* what;  ///< for people
  void (*write)(const Profile& profile, const RunRow& run, TextFile& out);
};

std::span<const Exporter* const> exporters();
/// Throws Error{kConfig} that names those there are.
const Exporter& exporter_of(const std::string& name);

/// Throws Error{kConfig} if `path` is the profile itself or cannot be opened, {kIo} if it cannot be written to the end;
/// then no file of that name is left.
void export_run(const Profile& profile, const RunRow& run, const Exporter& exporter, const std::string& path);

}  // namespace shardscope
