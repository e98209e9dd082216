// Source of the layout: PKWARE's APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.12 (directory), 4.3.14 to 4.3.16
// (ends), 4.5.3 (zip64).

#include "core/engine/checkpoint/deepspeed/zip_archive.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "core/spec/json_tree.h"

namespace shardscope {
namespace {

constexpr std::int64_t kEndSize = 22, kEnd64Size = 56, kLocator64Size = 20, kEntrySize = 46, kLocalSize = 30;
constexpr std::uint32_t kEnd = 0x06054b50, kEnd64 = 0x06064b50, kLocator64 = 0x07064b50, kEntry = 0x02014b50,
                        kLocal = 0x04034b50;
constexpr std::int64_t kMaxComment = 0xffff, kMaxDirectory = 64 << 20;
constexpr std::int64_t kBlock = 1 << 20;

template <class T>
T number(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/// 64-bit values that stand in the extra field where the 32-bit ones are all ones.
class Zip64Field {
 public:
  Zip64Field(const std::byte* extra, std::int64_t size) {
    while (size >= 4) {
      const std::int64_t n = number<std::uint16_t>(extra + 2);
      if (n > size - 4) return;
      if (number<std::uint16_t>(extra) == 1) {
        at_ = extra + 4;
        left_ = n;
        return;
      }
      extra += 4 + n;
      size -= 4 + n;
    }
  }
  /// `value`, or the next 64-bit one; -1 if there is none or it is too large.
  std::int64_t widen(std::uint32_t value) {
    if (value != 0xffffffff) return value;
    if (left_ < 8) return -1;
    const auto wide = number<std::uint64_t>(at_);
    at_ += 8;
    left_ -= 8;
    return wide > INT64_MAX ? -1 : static_cast<std::int64_t>(wide);
  }

 private:
  const std::byte* at_ = nullptr;
  std::int64_t left_ = 0;
};

}  // namespace

ZipArchive::ZipArchive(const std::string& path) : file_(DiskFile::open(path)), size_(file_.size()) {
  std::vector<std::byte> tail(static_cast<std::size_t>(std::min(size_, kMaxComment + kEndSize + kLocator64Size)));
  file_.read(size_ - static_cast<std::int64_t>(tail.size()), tail);
  auto end = static_cast<std::int64_t>(tail.size()) - kEndSize;
  while (end >= 0 && number<std::uint32_t>(tail.data() + end) != kEnd) --end;
  if (end < 0) fail("is no zip archive as torch.save writes it, or is cut short");
  std::int64_t count = number<std::uint16_t>(tail.data() + end + 10);
  std::int64_t size = number<std::uint32_t>(tail.data() + end + 12),
               offset = number<std::uint32_t>(tail.data() + end + 16);
  if (end >= kLocator64Size && number<std::uint32_t>(tail.data() + end - kLocator64Size) == kLocator64) {
    std::byte end64[kEnd64Size];
    const auto at = number<std::uint64_t>(tail.data() + end - kLocator64Size + 8);
    if (at > static_cast<std::uint64_t>(std::max<std::int64_t>(size_ - kEnd64Size, 0)))
      fail("has its zip64 end beyond the file");
    file_.read(static_cast<std::int64_t>(at), end64);
    if (number<std::uint32_t>(end64) != kEnd64) fail("has no zip64 end where it says");
    count = number<std::int64_t>(end64 + 32);
    size = number<std::int64_t>(end64 + 40);
    offset = number<std::int64_t>(end64 + 48);
  }
  read_directory(offset, size, count);
}

void ZipArchive::read_directory(std::int64_t offset, std::int64_t size, std::int64_t count) {
  if (offset < 0 || size < 0 || size > kMaxDirectory || offset > size_ - size || count < 0 ||
      count > size / kEntrySize) {
    fail("has a directory that does not fit into the file");
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(size));
  file_.read(offset, bytes);
  const std::byte* at = bytes.data();
  const std::byte* const end = at + size;
  for (std::int64_t i = 0; i < count; ++i) {
    if (end - at < kEntrySize || number<std::uint32_t>(at) != kEntry) fail("has a damaged directory");
    const std::int64_t name = number<std::uint16_t>(at + 28), extra = number<std::uint16_t>(at + 30),
                       comment = number<std::uint16_t>(at + 32);
    if (end - at < kEntrySize + name + extra + comment) fail("has a damaged directory");
    ZipEntry entry{std::string(reinterpret_cast<const char*>(at + kEntrySize), static_cast<std::size_t>(name))};
    if ((number<std::uint16_t>(at + 8) & 1) != 0 || number<std::uint16_t>(at + 10) != 0) {
      throw Error(ErrorKind::kUnsupported,
                  fmt::format("{}: {} is compressed or encrypted; torch.save stores plain bytes", file_.path(),
                              printable(entry.name)));
    }
    Zip64Field wide(at + kEntrySize + name, extra);
    entry.crc = number<std::uint32_t>(at + 16);
    entry.size = wide.widen(number<std::uint32_t>(at + 24));
    const std::int64_t stored = wide.widen(number<std::uint32_t>(at + 20));
    const std::int64_t header = wide.widen(number<std::uint32_t>(at + 42));
    entry.offset = data_offset(header, entry.name);
    if (entry.size < 0 || stored != entry.size || entry.offset > size_ - entry.size) {
      fail(fmt::format("has {} reach beyond its end: it is cut short or damaged", printable(entry.name)));
    }
    entries_.push_back(std::move(entry));
    at += kEntrySize + name + extra + comment;
  }
}

std::int64_t ZipArchive::data_offset(std::int64_t header, const std::string& name) const {
  std::byte local[kLocalSize];
  if (header < 0 || header > size_ - kLocalSize) fail(fmt::format("has {} beyond its end", printable(name)));
  file_.read(header, local);
  if (number<std::uint32_t>(local) != kLocal) fail(fmt::format("has no header where {} should be", printable(name)));
  return header + kLocalSize + number<std::uint16_t>(local + 26) + number<std::uint16_t>(local + 28);
}

const ZipEntry* ZipArchive::find(const std::string& name) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const ZipEntry& e) { return e.name == name; });
  return found == entries_.end() ? nullptr : &*found;
}

void ZipArchive::check_sums() const {
  std::vector<std::byte> block(kBlock);
  for (const ZipEntry& entry : entries_) {
    uLong sum = crc32(0, nullptr, 0);
    for (std::int64_t done = 0; done < entry.size; done += kBlock) {
      const std::span<std::byte> part(block.data(), static_cast<std::size_t>(std::min(kBlock, entry.size - done)));
      file_.read(entry.offset + done, part);
      sum = crc32(sum, reinterpret_cast<const Bytef*>(part.data()), static_cast<uInt>(part.size()));
    }
    if (sum != entry.crc) {
      fail(fmt::format("is damaged: {} does not have the CRC-32 in the directory (or torch was told not to compute it)",
                       printable(entry.name)));
    }
  }
}

void ZipArchive::fail(const std::string& what) const {
  throw Error(ErrorKind::kParse, fmt::format("{}: {}", file_.path(), what));
}

}  // namespace shardscope
