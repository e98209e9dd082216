#include "core/engine/checkpoint/disk_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/error.h"

namespace shardscope {
namespace {

constexpr std::size_t kLargestTransfer = 1 << 30;  // Linux moves at most 2 GiB less a page in one call

[[noreturn]] void write_failed(const std::string& path) {
  throw Error(ErrorKind::kIo, fmt::format("{}: cannot be written: {}", path, std::strerror(errno)));
}

[[noreturn]] void open_failed(const std::string& path, int error) {
  throw Error(ErrorKind::kConfig, fmt::format("{}: cannot be read: {}", path, std::strerror(error)));
}

}  // namespace

DiskFile DiskFile::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) open_failed(path, errno);
  DiskFile file(path, fd);
  struct stat info {};
  if (::fstat(fd, &info) != 0) open_failed(path, errno);
  if (S_ISDIR(info.st_mode)) open_failed(path, EISDIR);
  return file;
}

DiskFile DiskFile::create(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) write_failed(path);
  return {path, fd};
}

DiskFile DiskFile::create_direct(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_DIRECT, 0666);
  if (fd < 0 && errno == EINVAL) return create(path);  // tmpfs
  if (fd < 0) write_failed(path);
  return {path, fd};
}

DiskFile::~DiskFile() {
  if (fd_ >= 0) ::close(fd_);
}

DiskFile::DiskFile(DiskFile&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

std::int64_t DiskFile::size() const {
  struct stat info {};
  if (::fstat(fd_, &info) != 0) open_failed(path_, errno);
  return info.st_size;
}

void DiskFile::read(std::int64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t n = ::pread(fd_, out.data(), std::min(out.size(), kLargestTransfer), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) open_failed(path_, errno);
    if (n == 0) {
      throw Error(ErrorKind::kParse, fmt::format("{}: is cut short: it ends at byte {}, and {} more should follow",
                                                 path_, offset, out.size()));
    }
    offset += n;
    out = out.subspan(static_cast<std::size_t>(n));
  }
}

void DiskFile::write(std::int64_t offset, std::span<const std::byte> data) {
  const auto whole = [](std::uint64_t n) { return n % kDirectBlock == 0; };
  const auto address = reinterpret_cast<std::uintptr_t>(data.data());
  const int flags = ::fcntl(fd_, F_GETFL);
  if ((flags & O_DIRECT) != 0 && !(whole(address) && whole(data.size()) && whole(static_cast<std::uint64_t>(offset)))) {
    ::fcntl(fd_, F_SETFL, flags & ~O_DIRECT);  // the rest of a last block
  }
  while (!data.empty()) {
    const ssize_t n = ::pwrite(fd_, data.data(), std::min(data.size(), kLargestTransfer), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) write_failed(path_);
    offset += n;
    data = data.subspan(static_cast<std::size_t>(n));
  }
}

void DiskFile::sync() {
  if (::fdatasync(fd_) != 0) write_failed(path_);
}

void sync_folder(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) write_failed(path);
  const int failed = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  errno = error;
  if (failed != 0 && error != EINVAL) write_failed(path);  // EINVAL: a file system that has no such thing
}

void write_synced(const std::string& path, std::string_view text) {
  DiskFile file = DiskFile::create(path);
  file.write(0, std::as_bytes(std::span(text.data(), text.size())));
  file.sync();
}

void rename_file(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) write_failed(to);
}

std::string file_name(const std::string& path) {
  const std::filesystem::path given(path);
  return (given.has_filename() ? given : given.parent_path()).filename().string();
}

std::string join_path(const std::string& folder, const std::string& name) {
  return (std::filesystem::path(folder) / name).string();
}

}  // namespace shardscope
