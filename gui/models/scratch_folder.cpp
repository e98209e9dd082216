#include "gui/models/scratch_folder.h"

#include <stdlib.h>

#include <filesystem>
#include <system_error>

#include "core/error.h"

namespace shardscope::gui {

ScratchFolder::ScratchFolder() {
  std::error_code failed;
  path_ = (std::filesystem::temp_directory_path(failed) / "shardscope-XXXXXX").string();
  if (failed || ::mkdtemp(path_.data()) == nullptr)
    throw Error(ErrorKind::kIo, path_ + ": a folder for temporary files cannot be made; set TMPDIR to one that can");
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string ScratchFolder::file(const std::string& name) const {
  return (std::filesystem::path(path_) / name).string();
}

}  // namespace shardscope::gui
