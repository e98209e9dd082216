#include "core/engine/data/text_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/check.h"
#include "core/error.h"

namespace shardscope {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMapFrom = 1 << 16;  // bytes; smaller files are copied
constexpr std::size_t kProbe = 8192;        // bytes looked at to tell text from binary

class FileDescriptor {
 public:
  explicit FileDescriptor(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

/// Text in any encoding that keeps ASCII: no NUL, and at most one byte in 32 a control character that text does not
/// use.
bool looks_like_text(std::span<const char> bytes) {
  const std::span<const char> probe = bytes.first(std::min(bytes.size(), kProbe));
  std::size_t odd = 0;
  for (const char c : probe) {
    if (c == 0) return false;
    const bool is_control = static_cast<unsigned char>(c) < 32 || c == 127;
    if (is_control && std::strchr("\t\n\v\f\r\x1b\b", c) == nullptr) ++odd;
  }
  return odd * 32 <= probe.size();
}

std::vector<char> read_all(int fd, std::int64_t size) {
  std::vector<char> data(static_cast<std::size_t>(size));
  std::size_t done = 0;
  while (done < data.size()) {
    const ssize_t n = ::read(fd, data.data() + done, data.size() - done);
    if (n <= 0) break;
    done += static_cast<std::size_t>(n);
  }
  data.resize(done);
  return data;
}

std::vector<std::string> sorted_files_below(const std::string& path) {
  std::vector<std::string> found;
  std::error_code error;
  fs::recursive_directory_iterator it(path, fs::directory_options::skip_permission_denied, error);
  if (error) throw Error(ErrorKind::kConfig, fmt::format("{}: cannot read the directory: {}", path, error.message()));
  for (; it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (error) break;
    std::error_code ignored;
    if (it->symlink_status(ignored).type() == fs::file_type::regular) found.push_back(it->path().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

TextFiles::TextFiles(const std::string& path) {
  try {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (!fs::exists(status)) {
      throw Error(ErrorKind::kConfig, path + ": no such file or directory; --data takes a text file or a directory");
    }
    if (fs::is_directory(status)) {
      add_directory(path);
    } else {
      switch (add_file(path)) {
        case Added::kYes:
          break;
        case Added::kEmpty:
          throw Error(ErrorKind::kConfig, path + ": is empty; training needs text");
        case Added::kNotText:
          throw Error(ErrorKind::kConfig, path + ": is not text (it holds NUL or control bytes)");
        case Added::kUnreadable:
          throw Error(ErrorKind::kConfig, fmt::format("{}: cannot be read: {}", path, std::strerror(errno)));
      }
    }
  } catch (...) {
    unmap_all();
    throw;
  }
  starts_.push_back(0);
  for (const File& file : files_) starts_.push_back(starts_.back() + static_cast<std::int64_t>(file.bytes.size()));
}

TextFiles::~TextFiles() { unmap_all(); }

void TextFiles::unmap_all() {
  for (const File& file : files_) {
    if (file.copy.empty()) ::munmap(const_cast<char*>(file.bytes.data()), file.bytes.size());
  }
}

void TextFiles::add_directory(const std::string& path) {
  for (const std::string& file : sorted_files_below(path)) {
    const Added added = add_file(file);
    not_text_ += added == Added::kNotText;
    unreadable_ += added == Added::kUnreadable;
  }
  if (files_.empty()) {
    throw Error(ErrorKind::kConfig,
                fmt::format("{}: holds no text files ({} not text, {} unreadable)", path, not_text_, unreadable_));
  }
}

TextFiles::Added TextFiles::add_file(const std::string& path) {
  const FileDescriptor fd(path);
  struct stat info {};
  if (fd.get() < 0 || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return Added::kUnreadable;
  if (info.st_size == 0) return Added::kEmpty;
  File file{.name = path, .bytes = {}, .copy = {}};
  if (info.st_size < kMapFrom) {
    file.copy = read_all(fd.get(), info.st_size);
    file.bytes = file.copy;
    if (file.bytes.empty()) return Added::kUnreadable;
  } else {
    void* const data = ::mmap(nullptr, static_cast<std::size_t>(info.st_size), PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (data == MAP_FAILED) return Added::kUnreadable;
    file.bytes = {static_cast<const char*>(data), static_cast<std::size_t>(info.st_size)};
  }
  if (!looks_like_text(file.bytes)) {
    if (file.copy.empty()) ::munmap(const_cast<char*>(file.bytes.data()), file.bytes.size());
    return Added::kNotText;
  }
  files_.push_back(std::move(file));
  return Added::kYes;
}

void TextFiles::copy(std::int64_t begin, std::span<std::int32_t> out) const {
  const auto count = static_cast<std::int64_t>(out.size());
  SS_CHECK(begin >= 0 && begin + count <= total_bytes(), begin, count, total_bytes());
  auto file = static_cast<std::size_t>(std::upper_bound(starts_.begin(), starts_.end(), begin) - starts_.begin() - 1);
  for (std::int64_t done = 0; done < count; ++file) {
    const std::int64_t skip = begin + done - starts_[file];
    const std::span<const char> rest = files_[file].bytes.subspan(static_cast<std::size_t>(skip));
    const std::int64_t n = std::min(count - done, static_cast<std::int64_t>(rest.size()));
    std::transform(rest.begin(), rest.begin() + n, out.begin() + done,
                   [](char c) { return static_cast<std::int32_t>(static_cast<unsigned char>(c)); });
    done += n;
  }
}

std::string TextFiles::describe() const {
  std::string text = fmt::format("{} file{}, {} bytes", files_.size(), files_.size() == 1 ? "" : "s", total_bytes());
  if (not_text_ + unreadable_ > 0) text += fmt::format(" ({} not text, {} unreadable)", not_text_, unreadable_);
  return text;
}

}  // namespace shardscope
