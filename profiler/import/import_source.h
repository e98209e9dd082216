#pragma once
// A file to import: bytes as they would be unzipped, progress, and the wish to stop.
//
//   ImportControl control;
//   ImportSource source("trace.json.gz", control);
//   for (std::size_t n; (n = source.read(buffer, sizeof buffer)) > 0;) use(buffer, n);

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace shardscope {

/// What whoever started an import holds.
struct ImportControl {
  std::atomic<bool> cancelled{false};
  /// Called some times a second from the importing thread: bytes of the file read, and its size.
  std::function<void(const std::string& file, std::int64_t done, std::int64_t size)> progress;
};

class ImportSource {
 public:
  /// Throws Error{kConfig} if it is missing or unreadable.
  ImportSource(std::string path, ImportControl& control);
  ~ImportSource();
  ImportSource(const ImportSource&) = delete;
  ImportSource& operator=(const ImportSource&) = delete;

  const std::string& path() const { return path_; }
  std::string name() const;                        ///< without folders
  std::string_view head() const { return head_; }  ///< first 64 KB at most, unzipped
  bool zipped() const { return zipped_; }
  std::int64_t size() const { return size_; }  ///< on disk

  /// The next bytes, unzipped; 0 at the end or when cancelled. Throws Error{kIo}.
  std::size_t read(char* to, std::size_t capacity);
  void rewind();                                   ///< to the first byte
  std::int64_t bytes_out() const { return out_; }  ///< given by read() so far
  /// Why the bytes ended before the file did ("the gzip stream is cut off"); empty if it did not.
  const std::string& broken() const { return broken_; }

  bool cancelled() const { return control_.cancelled.load(std::memory_order_relaxed); }
  /// For importers that do not use read(): `done` of size() is behind us.
  void report(std::int64_t done);

 private:
  struct Stream;
  const std::string path_;
  ImportControl& control_;
  std::unique_ptr<Stream> stream_;
  std::string head_, broken_;
  bool zipped_ = false;
  std::int64_t size_ = 0, out_ = 0, reported_ = 0;
};

}  // namespace shardscope
