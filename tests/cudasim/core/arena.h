#pragma once
// The addresses of one device (or of pinned host memory), and what lies behind them. A device's addresses are reserved
// but not readable: host code that follows a device pointer dies at once. The bytes lie elsewhere, at a fixed distance,
// with one byte per byte that says whether it was written, and cells for the check of races. Addresses are never used
// twice, so that use after free is seen whenever it happens; freed pages go back to the system.
//
//   Arena arena(0, MemoryKind::kDevice, 64ull << 30);
//   Allocation* a = arena.allocate(1024, "cudaMalloc");
//   std::memcpy(arena.data(a->base), ...);

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/cudasim/core/types.h"

namespace cudasim {

enum class MemoryKind : u8 { kDevice, kPinned, kManaged };

struct Allocation {
  u64 base = 0, size = 0;
  int device = 0;
  MemoryKind kind = MemoryKind::kDevice;
  std::atomic<bool> live = true;
  u64 id = 0;
  std::string made_by, freed_by;  ///< calls
  u64 end() const { return base + size; }
};

/// Who last wrote and read two bytes within one launch (ptx/global_check.h says what the numbers mean).
struct RaceCell {
  u64 write = 0, read = 0;
};

class Arena {
 public:
  static constexpr u64 kPage = 4096;

  Arena(int device, MemoryKind kind, u64 bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Null where the addresses are used up.
  Allocation* allocate(u64 bytes, const std::string& call);
  void release(Allocation& allocation, const std::string& call);

  bool contains(u64 address) const { return address - base_ < bytes_; }
  /// The allocation that owns the address's page, live or not; bytes after its end are its guard.
  Allocation* find(u64 address) const { return pages_[(address - base_) / kPage].load(std::memory_order_acquire); }
  /// Where the byte of this address is kept.
  u8* data(u64 address) const { return data_ + (address - base_); }
  u8* written(u64 address) const { return written_ + (address - base_); }
  RaceCell* cells(u64 address) const { return cells_ + (address - base_) / 2; }
  bool tracks_writes() const { return written_ != nullptr; }
  u64 used() const { return used_.load(); }

 private:
  u64 base_ = 0, bytes_ = 0;
  int device_;
  MemoryKind kind_;
  u8* data_ = nullptr;
  u8* written_ = nullptr;  ///< null for memory that the host writes, too
  RaceCell* cells_ = nullptr;
  std::atomic<Allocation*>* pages_ = nullptr;
  std::mutex mutex_;
  u64 next_ = 0;
  std::atomic<u64> used_ = 0;
  std::vector<std::unique_ptr<Allocation>> allocations_;  ///< the freed ones, too
};

}  // namespace cudasim
