#pragma once
// The bytes of a text file, or of all text files below a directory, mapped into memory and read in sorted order.
//
//   TextFiles files("/usr/share/common-licenses");
//   files.total_bytes();  files.copy(/*begin=*/1000, /*count=*/128, out);

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace shardscope {

class TextFiles {
 public:
  /// A directory is walked recursively, in byte order of the relative paths, without following links inside it; files
  /// that are empty, unreadable or not text (a NUL byte or many control characters at the start) are left out and
  /// counted. Throws Error{kConfig} if `path` does not exist, cannot be read, is itself not text, or holds no text.
  explicit TextFiles(const std::string& path);
  ~TextFiles();
  TextFiles(const TextFiles&) = delete;
  TextFiles& operator=(const TextFiles&) = delete;

  std::int64_t total_bytes() const { return starts_.back(); }
  std::size_t size() const { return files_.size(); }
  std::span<const char> bytes(std::size_t file) const { return files_[file].bytes; }
  const std::string& name(std::size_t file) const { return files_[file].name; }
  /// Bytes [begin, begin + out.size()) of all files laid end to end, widened to 0..255.
  void copy(std::int64_t begin, std::span<std::int32_t> out) const;
  /// "3 files, 12345 bytes (1 not text, 2 unreadable)".
  std::string describe() const;

 private:
  struct File {
    std::string name;
    std::span<const char> bytes;
    std::vector<char> copy;  // of a small file: a mapping each would exhaust the kernel's table
  };
  enum class Added : std::uint8_t { kYes, kEmpty, kNotText, kUnreadable };
  void add_directory(const std::string& path);
  Added add_file(const std::string& path);
  void unmap_all();

  std::vector<File> files_;
  std::vector<std::int64_t> starts_;  // of each file in the whole; one more for the end
  std::int64_t not_text_ = 0, unreadable_ = 0;
};

}  // namespace shardscope
