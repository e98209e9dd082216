#include "cli/capture_library.h"

#include <cstdlib>
#include <filesystem>

#include "core/error.h"

namespace shardscope::cli {

std::string find_capture_library() {
  namespace fs = std::filesystem;
  std::error_code failed;
  if (const char* path = std::getenv("SHARDSCOPE_CAPTURE_LIBRARY"); path != nullptr && *path != '\0') {
    if (!fs::is_regular_file(path, failed))
      throw Error(ErrorKind::kConfig, std::string("SHARDSCOPE_CAPTURE_LIBRARY is ") + path + ", which is no file");
    return fs::absolute(path).string();
  }
  const fs::path here = fs::read_symlink("/proc/self/exe", failed).parent_path();
  std::string looked;
  for (const char* place : {"../profiler", "../lib", "../lib/x86_64-linux-gnu", "."}) {
    const fs::path path = (here / place / "libshardscope-capture.so").lexically_normal();
    if (fs::is_regular_file(path, failed)) return path.string();
    looked += (looked.empty() ? "" : ", ") + path.string();
  }
  throw Error(ErrorKind::kConfig,
              "libshardscope-capture.so is not found (" + looked +
                  "): this build may have been made without the CUDA toolkit, or set SHARDSCOPE_CAPTURE_LIBRARY");
}

}  // namespace shardscope::cli
