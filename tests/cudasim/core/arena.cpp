#include "tests/cudasim/core/arena.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace cudasim {

namespace {

constexpr int kNeverWritten = 0xC5;    ///< as a float -6.3e3, as a bfloat16 the same: never a plausible zero
constexpr u64 kMostPoison = 64 << 20;  ///< the rest of a larger allocation is found by the check of writes only

void* reserve(u64 bytes, int protection) {
  void* at = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) {
    std::perror("[cudasim] no addresses for an emulated device (CUDASIM_ARENA_GB)");
    std::_Exit(2);
  }
  return at;
}

u64 round_up(u64 value, u64 to) { return (value + to - 1) / to * to; }

std::atomic<u64> allocation_count = 0;

}  // namespace

Arena::Arena(int device, MemoryKind kind, u64 bytes) : bytes_(bytes), device_(device), kind_(kind) {
  const bool hidden = kind == MemoryKind::kDevice;
  data_ = static_cast<u8*>(reserve(bytes, PROT_READ | PROT_WRITE));
  base_ = reinterpret_cast<u64>(hidden ? reserve(bytes, PROT_NONE) : data_);
  if (hidden) written_ = static_cast<u8*>(reserve(bytes, PROT_READ | PROT_WRITE));
  cells_ = static_cast<RaceCell*>(reserve(bytes / 2 * sizeof(RaceCell), PROT_READ | PROT_WRITE));
  pages_ = static_cast<std::atomic<Allocation*>*>(reserve(bytes / kPage * sizeof(*pages_), PROT_READ | PROT_WRITE));
  next_ = base_ + kPage;
}

Arena::~Arena() {
  munmap(pages_, bytes_ / kPage * sizeof(*pages_));
  munmap(cells_, bytes_ / 2 * sizeof(RaceCell));
  if (written_ != nullptr) munmap(written_, bytes_);
  if (kind_ == MemoryKind::kDevice) munmap(reinterpret_cast<void*>(base_), bytes_);
  munmap(data_, bytes_);
}

Allocation* Arena::allocate(u64 bytes, const std::string& call) {
  std::lock_guard lock(mutex_);
  const u64 end = round_up(next_ + bytes + kPage, kPage);  // a guard page behind each
  if (end > base_ + bytes_) return nullptr;
  auto allocation = std::make_unique<Allocation>();
  Allocation* out = allocation.get();
  out->base = next_;
  out->size = bytes;
  out->device = device_;
  out->kind = kind_;
  out->id = ++allocation_count;
  out->made_by = call;
  std::memset(data(out->base), kNeverWritten, std::min(bytes, kMostPoison));
  for (u64 page = next_; page < end; page += kPage) {
    pages_[(page - base_) / kPage].store(out, std::memory_order_release);
  }
  next_ = end;
  used_ += bytes;
  allocations_.push_back(std::move(allocation));
  return out;
}

void Arena::release(Allocation& allocation, const std::string& call) {
  std::lock_guard lock(mutex_);
  allocation.freed_by = call;
  allocation.live.store(false, std::memory_order_release);
  used_ -= allocation.size;
  const u64 bytes = round_up(std::max<u64>(allocation.size, 1), kPage);
  madvise(data(allocation.base), bytes, MADV_DONTNEED);
  if (written_ != nullptr) madvise(written(allocation.base), bytes, MADV_DONTNEED);
  madvise(cells(allocation.base), bytes / 2 * sizeof(RaceCell), MADV_DONTNEED);
  if (kind_ != MemoryKind::kDevice)
    mprotect(data(allocation.base), bytes, PROT_NONE);  // the host must not touch it either
}

}  // namespace cudasim
