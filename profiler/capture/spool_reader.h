#pragma once
// Reads a spool while its process writes it, or after the process is gone. Nothing in the file is trusted.
//
//   SpoolReader spool(path);
//   spool.poll([&](std::uint32_t thread, const RecordHead& head) {
//     if (const auto* kernel = record_as<KernelRecord>(head)) use(*kernel, spool.text(kernel->name));
//   });

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "profiler/capture/records.h"
#include "profiler/capture/spool_layout.h"

namespace shardscope::capture {

class SpoolReader {
 public:
  /// Throws Error{kIo} if it cannot be opened, {kParse} if it is no spool.
  explicit SpoolReader(const std::string& path);
  ~SpoolReader();
  SpoolReader(const SpoolReader&) = delete;
  SpoolReader& operator=(const SpoolReader&) = delete;

  using Visit = std::function<void(std::uint32_t thread, const RecordHead& head)>;
  /// Every record that came in since the last call, each thread's in order; then gives the room back. Returns how many.
  std::int64_t poll(const Visit& visit);

  /// The same, and gives no room back: of a ring that keeps the newest records for later. What is written over while it
  /// is looked at is left out. poll() afterwards begins with the oldest that are there.
  std::int64_t peek(const Visit& visit);

  /// Text of an id; empty for 0, "?" for one whose text found no room.
  std::string_view text(std::uint64_t id);

  SpoolHeader& header() { return *header_; }
  const std::string& path() const { return path_; }
  std::int64_t damaged() const { return damaged_; }  ///< records skipped because their sizes made no sense
  bool process_alive() const;

 private:
  struct Progress {
    std::uint64_t order = 0;
    std::uint32_t read = 0;
  };
  ChunkHeader* chunk(std::uint32_t index) const;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> ready_chunks() const;  ///< age and index, oldest first
  std::int64_t read_chunk(std::uint32_t index, const Visit& visit);
  std::int64_t peek_chunk(std::uint32_t index, std::uint64_t order, const Visit& visit);
  /// Records from progress on; moves it.
  std::int64_t read_records(const char* body, std::uint32_t used, std::uint32_t thread, Progress& progress,
                            const Visit& visit);
  void read_strings();

  std::string path_;
  char* base_ = nullptr;
  std::size_t bytes_ = 0;
  SpoolHeader* header_ = nullptr;
  std::vector<Progress> progress_, peeked_;
  std::unordered_map<std::uint64_t, std::string> strings_;
  std::uint64_t strings_read_ = 0;
  std::int64_t damaged_ = 0;
};

/// The record as its struct; null if it is too short for it.
template <class Record>
const Record* record_as(const RecordHead& head) {
  return head.bytes >= sizeof(Record) ? reinterpret_cast<const Record*>(&head) : nullptr;
}

/// Spools in a folder, oldest first; files still being made are left out.
std::vector<std::string> list_spools(const std::string& folder);

}  // namespace shardscope::capture
