#pragma once
// Where the events of a measured run wait until they are in the profile: a file beside it, mapped into the process, so
// that what was traced survives kill -9 (profiler/store/recover.h brings it into the profile).
//
//   std::unique_ptr<EventFile> file = EventFile::create("run.db", run_key);      // null: no room; then use memory
//   EventBlock* block = file->take({EventKind::kSlice, rank, lane, first});      // a queue's next 64 KiB
//   EventFile::release(block);                                                   // its events are in the profile
//
// All room is reserved when the file is made: a disk that fills up later can neither stop nor kill the run. The file is
// locked while its process lives, and removed with the object.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace shardscope {

enum class EventKind : std::uint16_t { kSlice, kMemory, kStep };
inline constexpr int kEventKinds = 3;

/// Whose events a block holds.
struct EventSource {
  EventKind kind = EventKind::kSlice;
  std::uint16_t lane = 0;  ///< of slices
  std::int32_t rank = 0;
  std::int64_t first = 0;  ///< number of the block's first event in its queue, from 0
};

struct EventBlock {
  static constexpr std::size_t kBytes = 64 << 10;
  enum class State : std::uint32_t { kFree, kTaken, kUsed };
  std::atomic<State> state;
  std::atomic<std::uint32_t> published;  ///< events that are complete
  EventSource source;

  char* events() { return reinterpret_cast<char*>(this + 1); }
  template <class Event>
  static constexpr std::uint32_t capacity() {
    return static_cast<std::uint32_t>((kBytes - sizeof(EventBlock)) / sizeof(Event));
  }
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

class EventFile {
 public:
  static std::unique_ptr<EventFile> create(const std::string& profile, const std::string& run_key);
  /// One that a process left behind; null if it is still at work, or the file is none or damaged.
  static std::unique_ptr<EventFile> open_abandoned(const std::string& path);
  /// Files beside a profile.
  static std::vector<std::string> beside(const std::string& profile);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  EventBlock* take(const EventSource& source);  ///< from any thread, without locks; null: all are in use
  static void release(EventBlock* block) { block->state.store(EventBlock::State::kFree, std::memory_order_release); }
  std::vector<EventBlock*> used() const;  ///< by source
  std::string run_key() const;
  /// Of an abandoned one: its events are in the profile, and the file goes with the object, as one of our own does.
  void forget() { keep_ = false; }

 private:
  struct Header;
  EventFile(std::string path, int file, void* base, bool keep);
  EventBlock* block(std::size_t index) const;
  std::string path_;
  int file_;
  char* base_;
  bool keep_;
};

}  // namespace shardscope
