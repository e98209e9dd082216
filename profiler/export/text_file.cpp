#include "profiler/export/text_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/error.h"

namespace shardscope {

TextFile::TextFile(std::string path) : path_(std::move(path)), file_(std::fopen(path_.c_str(), "wb")) {
  if (file_ == nullptr)
    throw Error(ErrorKind::kConfig, "'" + path_ + "': cannot be opened for writing: " + std::strerror(errno));
}

TextFile::~TextFile() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  std::error_code ignored;  // a pipe or a device stays
  if (std::filesystem::is_regular_file(path_, ignored)) std::filesystem::remove(path_, ignored);
}

void TextFile::fail() const { throw Error(ErrorKind::kIo, path_ + ": cannot be written: " + std::strerror(errno)); }

void TextFile::flush() {
  if (std::fwrite(waiting_.data(), 1, waiting_.size(), file_) != waiting_.size()) fail();
  waiting_.clear();
}

void TextFile::finish() {
  flush();
  if (std::fflush(file_) != 0) fail();
  const int closed = std::fclose(file_);
  file_ = nullptr;
  if (closed != 0) fail();
}

}  // namespace shardscope
