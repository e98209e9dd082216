#pragma once
// Imports files of other programs as one run of a profile.
//
//   ImportResult result = import_files({"rank0.json.gz", "rank1.json.gz"}, {.out = "run.db"}, control);

#include <string>
#include <utility>
#include <vector>

#include "profiler/import/importer.h"

namespace shardscope {

struct ImportOptions {
  std::string out;                                                ///< the profile: created, or a run is added to it
  std::string name;                                               ///< of the run; empty: that of the first file
  std::vector<std::pair<std::string, std::string>> remarks = {};  ///< kind and text of what diagnostic must say, too
  std::string format = {};  ///< an importer's name: not asked whether it recognises the files; empty: asked
};

struct ImportResult {
  std::int64_t run = 0, events = 0;
  std::int64_t bytes = 0;  ///< of the files, unzipped where read so
  bool cancelled = false;
  std::vector<std::string> problems;  ///< a line for each file of which nothing could be read, if others could
};

/// Throws Error{kParse} if nothing could be imported, or a file is of no known kind: then nothing is written. {kConfig}
/// for files that cannot be read, {kIo} if the disk is full.
ImportResult import_files(const std::vector<std::string>& files, const ImportOptions& options, ImportControl& control);

}  // namespace shardscope
