#pragma once
// The files inside a zip archive that stores them uncompressed, as torch.save does: where their bytes lie.
//
//   ZipArchive zip("mp_rank_00_model_states.pt");
//   zip.file().read(zip.find("archive/data.pkl")->offset, bytes);

#include <cstdint>
#include <string>
#include <vector>

#include "core/engine/checkpoint/disk_file.h"

namespace shardscope {

struct ZipEntry {
  std::string name;
  std::int64_t offset = 0, size = 0;  ///< of the bytes, in the archive
  std::uint32_t crc = 0;
};

class ZipArchive {
 public:
  /// Throws Error{kConfig} if the file cannot be read, Error{kParse} if it is no zip archive, is cut short or
  /// contradicts itself, Error{kUnsupported} if an entry is compressed or encrypted. Reads zip64.
  explicit ZipArchive(const std::string& path);
  const DiskFile& file() const { return file_; }
  const std::vector<ZipEntry>& entries() const { return entries_; }
  const ZipEntry* find(const std::string& name) const;
  /// Reads every entry and compares its CRC-32. Throws Error{kParse} naming the first that is damaged.
  void check_sums() const;

 private:
  void read_directory(std::int64_t offset, std::int64_t size, std::int64_t count);
  std::int64_t data_offset(std::int64_t header, const std::string& name) const;
  [[noreturn]] void fail(const std::string& what) const;

  DiskFile file_;
  std::int64_t size_ = 0;
  std::vector<ZipEntry> entries_;
};

}  // namespace shardscope
