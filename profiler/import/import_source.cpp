#include "profiler/import/import_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/error.h"

namespace shardscope {
namespace {

constexpr std::size_t kHeadBytes = 64 << 10, kBlock = 256 << 10;
constexpr std::int64_t kReportEvery = 4 << 20;  ///< bytes of the file

}  // namespace

/// The file, through zlib if it is gzipped. Several gzip members one after the other are one stream.
struct ImportSource::Stream {
  int file = -1;
  std::int64_t in = 0;  ///< bytes taken from the file
  bool zipped = false, ended = false;
  z_stream zip{};
  std::array<char, kBlock> block{};

  ~Stream() {
    if (zipped) inflateEnd(&zip);
    if (file >= 0) ::close(file);
  }

  std::size_t take(char* to, std::size_t capacity, const std::string& path) {
    ssize_t n = -1;
    do {
      n = ::read(file, to, capacity);
    } while (n < 0 && errno == EINTR);
    if (n < 0) throw Error(ErrorKind::kIo, path + ": cannot be read: " + std::strerror(errno));
    in += n;
    return static_cast<std::size_t>(n);
  }

  void start_unzipping() {
    constexpr int kGzip = 15 + 16;
    if (inflateInit2(&zip, kGzip) != Z_OK) throw Error(ErrorKind::kIo, "no memory to unzip");
    zipped = true;
  }

  /// Bytes unzipped; 0 at the end, and `broken` says so if that came too early.
  std::size_t unzip(char* to, std::size_t capacity, const std::string& path, std::string& broken) {
    zip.next_out = reinterpret_cast<Bytef*>(to);
    zip.avail_out = static_cast<uInt>(std::min<std::size_t>(capacity, 1U << 30));
    const uInt wanted = zip.avail_out;
    while (zip.avail_out == wanted && !ended) {
      if (zip.avail_in == 0) {
        zip.next_in = reinterpret_cast<Bytef*>(block.data());
        zip.avail_in = static_cast<uInt>(take(block.data(), block.size(), path));
        if (zip.avail_in == 0) {
          broken = "the gzip stream is cut off";
          ended = true;
          break;
        }
      }
      const int code = inflate(&zip, Z_NO_FLUSH);
      if (code == Z_STREAM_END) {
        if (zip.avail_in == 0) {
          zip.avail_in = static_cast<uInt>(take(block.data(), block.size(), path));
          zip.next_in = reinterpret_cast<Bytef*>(block.data());
        }
        ended = zip.avail_in == 0 || inflateReset(&zip) != Z_OK;
      } else if (code != Z_OK && code != Z_BUF_ERROR) {
        broken = "the gzip stream is damaged";
        ended = true;
      }
    }
    return wanted - zip.avail_out;
  }
};

ImportSource::ImportSource(std::string path, ImportControl& control) : path_(std::move(path)), control_(control) {
  std::error_code error;
  const auto status = std::filesystem::status(path_, error);
  if (!std::filesystem::exists(status)) throw Error(ErrorKind::kConfig, path_ + ": no such file");
  if (std::filesystem::is_directory(status))
    throw Error(ErrorKind::kConfig, path_ + ": is a directory; give its files");
  if (!std::filesystem::is_regular_file(status)) throw Error(ErrorKind::kConfig, path_ + ": not a regular file");
  size_ = static_cast<std::int64_t>(std::filesystem::file_size(path_, error));
  rewind();
  head_.resize(kHeadBytes);
  std::size_t have = 0;
  for (std::size_t n = 0; have < head_.size() && (n = read(head_.data() + have, head_.size() - have)) > 0;) have += n;
  head_.resize(have);
  rewind();
}

ImportSource::~ImportSource() = default;

std::string ImportSource::name() const { return std::filesystem::path(path_).filename().string(); }

void ImportSource::rewind() {
  stream_ = std::make_unique<Stream>();
  stream_->file = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (stream_->file < 0) throw Error(ErrorKind::kConfig, path_ + ": cannot be read (permission?)");
  unsigned char magic[2] = {};
  zipped_ = ::pread(stream_->file, magic, 2, 0) == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
  if (zipped_) stream_->start_unzipping();
  broken_.clear();
  out_ = reported_ = 0;
}

std::size_t ImportSource::read(char* to, std::size_t capacity) {
  if (cancelled()) return 0;
  const std::size_t n = zipped_ ? stream_->unzip(to, capacity, path_, broken_) : stream_->take(to, capacity, path_);
  out_ += static_cast<std::int64_t>(n);
  if (stream_->in >= reported_ + kReportEvery) report(stream_->in);
  return n;
}

void ImportSource::report(std::int64_t done) {
  reported_ = done;
  if (control_.progress) control_.progress(path_, done, size_);
}

}  // namespace shardscope
