#pragma once
// What writes a run as a file that other programs read. One folder per format, one line in export_list.cpp:
//
//   const Exporter kCsv = {"csv", ".csv", "one row for each slice", false, write};
//
//   export_run(profile, find_run(profile, "zero-2"), exporter_of("perfetto"), "trace.json");
//
// Memory stays the same however long the run is: an exporter reads through RunReader and writes through TextFile.

#include <optional>
#include <span>
#include <string>

#include "profiler/export/text_file.h"
#include "profiler/query/list_runs.h"

namespace shardscope {

struct ExportOptions {
  std::optional<int> step;  ///< of formats that hold one step: which; else the last
};

struct Exporter {
  const char* name;    ///< what --format takes
  const char* ending;  ///< of files that are of this format where nothing else is said; "": none is
  const char* what;    ///< for people
  bool one_step;       ///< holds a step, not a run
  /// Writes the file, or files whose names begin with `path`. Throws as export_run() does.
  void (*write)(const Profile& profile, const RunRow& run, const ExportOptions& options, const std::string& path);
};

std::span<const Exporter* const> exporters();
/// Throws Error{kConfig} that names those there are.
const Exporter& exporter_of(const std::string& name);
/// By the ending of a file's name; throws likewise.
const Exporter& exporter_for(const std::string& path);

/// Throws Error{kConfig} if `path` is the profile itself or cannot be opened, {kIo} if it cannot be written to the end;
/// then no file of that name is left.
void export_run(const Profile& profile, const RunRow& run, const Exporter& exporter, const std::string& path,
                const ExportOptions& options = {});

}  // namespace shardscope
