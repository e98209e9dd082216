#pragma once
// All memory that a device may see: the devices' arenas, pinned host memory, host memory that was registered. Every
// access of an operation comes through here (a kernel's fast paths ask the arena themselves, and come here when it says
// no).
//
//   Memory memory(settings, reports);
//   void* p = memory.allocate(MemoryKind::kDevice, 0, 1024, "cudaMalloc");
//   u8* bytes = memory.access({address, 16, /*write=*/true, /*device=*/0, "cudaMemset"}, &operation.accesses);

#include <map>
#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

#include "tests/cudasim/core/access_set.h"
#include "tests/cudasim/core/arena.h"
#include "tests/cudasim/core/report.h"
#include "tests/cudasim/core/settings.h"

namespace cudasim {

struct Access {
  u64 address, bytes;
  bool write;
  int device;
  std::string who;  ///< for the report
};

class Memory {
 public:
  Memory(const Settings& settings, Reports& reports);

  /// cudaErrorMemoryAllocation where the device's cap is reached.
  cudaError_t allocate(MemoryKind kind, int device, u64 bytes, const std::string& call, void** out);
  /// cudaErrorInvalidValue, with a report, where the pointer is not the start of a live allocation of that kind.
  cudaError_t release(void* pointer, bool host, const std::string& call);
  cudaError_t register_host(void* pointer, u64 bytes);
  cudaError_t unregister_host(void* pointer);

  /// The live or freed allocation at this address, or null. Host memory that nobody told us about has none.
  Allocation* find(u64 address) const;
  /// Checks the access and notes it; the place where the bytes are kept. Throws Fault.
  u8* access(const Access& access, AccessSet* accesses) const;
  /// As access(), but ordinary host memory is allowed: one side of a copy.
  u8* access_any(const Access& access, AccessSet* accesses) const;
  [[noreturn]] void refuse(const Access& access) const;

  const Arena& arena(int device) const { return *arenas_[static_cast<size_t>(device)]; }
  /// The arena that this address belongs to, or null.
  const Arena* arena_of(u64 address) const;
  u64 capacity() const { return capacity_; }
  void allow_peer(int device, int peer, bool allow);
  bool peers(int device, int peer) const;

 private:
  void check_written(const Access& access, const Arena& arena, const Allocation& allocation) const;

  u64 capacity_;
  bool check_written_;
  Reports& reports_;
  std::vector<std::unique_ptr<Arena>> arenas_;  ///< of the devices, then of pinned memory
  mutable std::shared_mutex mutex_;
  std::map<u64, std::unique_ptr<Allocation>> registered_;
  std::vector<std::unique_ptr<Allocation>> unregistered_;
  std::map<std::pair<int, int>, bool> peers_;
};

}  // namespace cudasim
