#pragma once
// Memory that the processes of one machine share. It has no name: it is a file of one of them that the others open
// through /proc, and is gone when the last has ended, however it ended. Counted by touched pages, not against /dev/shm.
//
//   SharedMemory memory = SharedMemory::create();                     // one process
//   SharedMemory same = SharedMemory::open(pid, memory.fd());         // the others
//   SharedRange range = same.range(key, bytes, check);                // zeroed; the same bytes for the same key

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "core/engine/process/socket.h"

namespace shardscope {

/// Mapped bytes.
class SharedRange {
 public:
  SharedRange() = default;
  SharedRange(int fd, std::int64_t offset, std::int64_t bytes);  ///< throws Error{kDevice}
  ~SharedRange();
  SharedRange(SharedRange&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  SharedRange& operator=(SharedRange&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  std::byte* data() const { return data_; }
  std::int64_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

class SharedMemory {
 public:
  static SharedMemory create();                 ///< throws Error{kDevice}
  static SharedMemory open(pid_t pid, int fd);  ///< throws Error{kDevice}
  /// Who asks for a key first decides where its bytes lie; it waits for nobody. All must ask for as many. Throws
  /// Error{kDevice} if there are too many keys; what `check` throws if a process died while it held the lock.
  SharedRange range(std::uint64_t key, std::int64_t bytes, const std::function<void()>& check);
  int fd() const { return fd_.get(); }

 private:
  struct Table;
  explicit SharedMemory(Fd fd);
  Table& table() const { return *reinterpret_cast<Table*>(head_.data()); }
  std::int64_t place_of(std::uint64_t key, std::int64_t bytes);

  Fd fd_;
  SharedRange head_;  // the table of what lies where
};

}  // namespace shardscope
