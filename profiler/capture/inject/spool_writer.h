#pragma once
// Writes records into the spool of this process: from any thread, without locks, at some ten nanoseconds each. Nothing
// here throws, allocates on a hot path or calls into the program that is watched.
//
//   if (Spool* spool = Spool::get()) {                       // null: not asked for, no room, or a child after fork()
//     if (auto* r = spool->begin<RangeRecord>(RecordKind::kRangePush)) { r->name = spool->intern(text);
//     spool->commit(r); }
//   }

#include <cstring>
#include <string_view>
#include <type_traits>

#include "profiler/capture/records.h"
#include "profiler/capture/spool_layout.h"

namespace shardscope::capture {

/// Where and how, as the environment says (SHARDSCOPE_SPOOL and others, see spool_options()).
struct SpoolOptions {
  const char* folder = nullptr;  ///< null: nothing is recorded
  std::uint32_t chunks = 1024;   ///< 64 KiB each
  std::uint32_t enabled = kSourceAll;
  bool ring = false;
  bool watch_steps = false;
  std::int64_t first_step = 0, last_step = -1;  ///< chosen ones; -1: none
};
SpoolOptions spool_options();

std::int64_t now_ns();  ///< CLOCK_REALTIME

class Spool {
 public:
  /// The process's spool, made when first asked for. Of a forked child: one of its own.
  static Spool* get();
  /// Says that the process ends in order. The spool stays usable.
  static void say_goodbye();

  bool enabled(std::uint32_t source) const { return (header_->enabled.load(std::memory_order_relaxed) & source) != 0; }
  SpoolHeader& header() { return *header_; }

  /// Room for one record and `extra` bytes behind it, its head filled in; null if there is none (counted). Only until
  /// the thread's next begin().
  template <class Record>
  Record* begin(RecordKind kind, std::size_t extra = 0) {
    static_assert(std::is_trivially_copyable_v<Record> && sizeof(Record) % 8 == 0);
    const std::size_t bytes = (sizeof(Record) + extra + 7) & ~std::size_t{7};
    auto* record = static_cast<Record*>(reserve(bytes));
    if (record != nullptr) {
      std::memset(static_cast<void*>(record), 0, sizeof(Record));
      record->head.bytes = static_cast<std::uint16_t>(bytes);
      record->head.kind = kind;
    }
    return record;
  }
  /// Makes the record of the last begin() visible.
  template <class Record>
  void commit(const Record* record) {
    publish(record->head.bytes);
  }

  /// The text's id; its bytes go into the string area when it is first met. Cut to 4095 bytes.
  std::uint64_t intern(std::string_view text);

 private:
  friend struct ThreadChunk;
  Spool() = default;
  static Spool* open();
  void* reserve(std::size_t bytes);
  void publish(std::size_t bytes);
  ChunkHeader* take_chunk(std::uint32_t thread);
  ChunkHeader* chunk(std::uint32_t index) const;
  bool store_string(std::uint64_t id, std::string_view text);

  char* base_ = nullptr;
  SpoolHeader* header_ = nullptr;
  std::uint32_t generation_ = 0;
  std::atomic<std::uint32_t> search_from_{0};
  static constexpr std::uint32_t kSeen = 1 << 14;
  std::atomic<std::uint64_t> seen_[kSeen] = {};  ///< ids of strings that the spool has
};

}  // namespace shardscope::capture
