#pragma once
// Which files of other programs was a run imported from, and what was counted in them?
//
//   for (const ImportedFile& file : imported_files(profile, run.id)) print(file.format, file.counts.at("kernels"));

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "profiler/store/profile.h"

namespace shardscope {

struct ImportedFile {
  int rank = 0;  ///< as it was stored
  std::string file, format;
  std::string tool, version;                      ///< empty: not said
  std::optional<std::int64_t> said_rank, world;   ///< by the file
  std::optional<std::int64_t> base_ns;            ///< wall clock of the file's time 0
  std::optional<std::int64_t> first_ns, last_ns;  ///< of its events, in the file's time
  std::int64_t origin_ns = 0;                     ///< the file's time when the run begins
  std::map<std::string, std::int64_t> counts;     ///< kernels, memcpy_bytes, ...: what its format can have
};

/// By rank; nothing for runs of our own.
std::vector<ImportedFile> imported_files(const Profile& profile, std::int64_t run);

struct Diagnostic {
  int rank = 0;  ///< -1: the whole run
  std::string kind, text;
  std::int64_t count = 0;
};
std::vector<Diagnostic> diagnostics(const Profile& profile, std::int64_t run);

}  // namespace shardscope
