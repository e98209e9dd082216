#pragma once
// Fuzzing an importer: the bytes are a file, in memory where the machine has such a folder; what comes of it is a
// profile that answers, or one Error.
//
//   fuzz_import(data, size, "trace.json");

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "profiler/import/import_files.h"
#include "profiler/query/import_facts.h"
#include "profiler/query/list_runs.h"
#include "profiler/query/timeline.h"
#include "tests/fuzz/fuzz.h"

namespace shardscope {

/// A folder of this process that goes away when it ends.
inline const std::filesystem::path& fuzz_folder() {
  static const std::filesystem::path folder = [] {
    const bool in_memory = std::filesystem::is_directory("/dev/shm");
    auto made = in_memory ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path();
    made /= "shardscope_fuzz_import_" + std::to_string(::getpid());
    std::filesystem::create_directories(made);
    std::atexit([] {
      std::error_code ignored;
      std::filesystem::remove_all(fuzz_folder(), ignored);
    });
    return made;
  }();
  return folder;
}

inline void ask_imported(const std::string& path) {
  const Profile profile(path);
  for (const RunRow& run : list_runs(profile)) {
    imported_files(profile, run.id), diagnostics(profile, run.id);
    const Timeline timeline(profile, run.id);
    for (const TimelineTrack& track : timeline.tracks()) {
      timeline.look(track, timeline.extent(), 50);
      timeline.spans(track, track.extent);
    }
  }
}

inline int fuzz_import(const std::uint8_t* data, std::size_t size, const char* name) {
  const std::string file = (fuzz_folder() / name).string(), out = (fuzz_folder() / "run.db").string();
  return fuzz_reader(data, size, [&](std::string_view bytes) {
    for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
      std::error_code ignored;
      std::filesystem::remove(out + suffix, ignored);
    }
    std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    ImportControl control;
    import_files({file}, {.out = out}, control);
    ask_imported(out);
  });
}

}  // namespace shardscope
