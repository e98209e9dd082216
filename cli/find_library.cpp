#include "cli/find_library.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "core/error.h"

namespace shardscope::cli {

std::string find_library(const LoadedLibrary& library) {
  namespace fs = std::filesystem;
  std::error_code failed;
  if (const char* path = std::getenv(library.variable); path != nullptr && *path != '\0') {
    if (!fs::is_regular_file(path, failed)) {
      throw Error(ErrorKind::kConfig, fmt::format("{} is {}, which is no file", library.variable, path));
    }
    return fs::absolute(path).string();
  }
  const fs::path here = fs::read_symlink("/proc/self/exe", failed).parent_path();
  std::string looked;
  for (const std::string& place : {std::string("../") + library.room, std::string("../lib"),
                                   std::string("../lib/x86_64-linux-gnu"), std::string(".")}) {
    const fs::path path = (here / place / library.file).lexically_normal();
    if (fs::is_regular_file(path, failed)) return path.string();
    looked += (looked.empty() ? "" : ", ") + path.string();
  }
  throw Error(ErrorKind::kConfig,
              fmt::format("{} is not found ({}): this build may have been made without the CUDA toolkit, or set {}",
                          library.file, looked, library.variable));
}

}  // namespace shardscope::cli
