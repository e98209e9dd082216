#pragma once
// Files as checkpoints need them: exact reads and writes at an offset, and bytes that are on the disk when we say so.
//
//   DiskFile file = DiskFile::create("step-20.partial/rank-00000.bin");
//   file.write(0, bytes);  file.sync();  sync_folder("step-20.partial");

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace shardscope {

inline constexpr std::int64_t kDirectBlock = 4096;

/// One open file. Errors name it.
class DiskFile {
 public:
  static DiskFile open(const std::string& path);    ///< for reading; Error{kConfig} if it cannot be, or is no file
  static DiskFile create(const std::string& path);  ///< empty, for writing; Error{kIo}
  /// The same for data that nobody reads soon: whole blocks (kDirectBlock, in file and memory) go past the page cache,
  /// where the file system can.
  static DiskFile create_direct(const std::string& path);
  ~DiskFile();
  DiskFile(DiskFile&& other) noexcept;
  DiskFile& operator=(DiskFile&&) = delete;

  const std::string& path() const { return path_; }
  std::int64_t size() const;
  /// Exactly out.size() bytes from `offset`. Thread-safe. Throws Error{kParse} if the file ends before.
  void read(std::int64_t offset, std::span<std::byte> out) const;
  void write(std::int64_t offset, std::span<const std::byte> data);  ///< throws Error{kIo}
  void sync();                                                       ///< throws Error{kIo}

 private:
  DiskFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::string path_;
  int fd_ = -1;
};

/// What was created, renamed and removed in a folder is on the disk. Throws Error{kIo}.
void sync_folder(const std::string& path);

/// A small file, whole and on the disk (its name is not: sync_folder). Throws Error{kIo}.
void write_synced(const std::string& path, std::string_view text);

/// Throws Error{kIo}.
void rename_file(const std::string& from, const std::string& to);

/// "step-20" of "ckpt/step-20", and "ckpt/step-20" of the two.
std::string file_name(const std::string& path);
std::string join_path(const std::string& folder, const std::string& name);

}  // namespace shardscope
