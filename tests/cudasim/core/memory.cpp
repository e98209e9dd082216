#include "tests/cudasim/core/memory.h"

#include <fmt/format.h>

#include <cstring>

namespace cudasim {

Memory::Memory(const Settings& settings, Reports& reports)
    : capacity_(settings.memory_bytes), check_written_((settings.checks & kCheckWritten) != 0), reports_(reports) {
  for (int device = 0; device < settings.devices; ++device) {
    arenas_.push_back(std::make_unique<Arena>(device, MemoryKind::kDevice, settings.arena_bytes));
  }
  arenas_.push_back(std::make_unique<Arena>(0, MemoryKind::kPinned, settings.arena_bytes));
}

cudaError_t Memory::allocate(MemoryKind kind, int device, u64 bytes, const std::string& call, void** out) {
  Arena& arena = kind == MemoryKind::kDevice ? *arenas_[static_cast<size_t>(device)] : *arenas_.back();
  if (kind == MemoryKind::kDevice && arena.used() + bytes > capacity_) return cudaErrorMemoryAllocation;
  Allocation* allocation = arena.allocate(bytes, call);
  if (allocation == nullptr) {
    reports_.add(call + ": the emulated device has no addresses left; CUDASIM_ARENA_GB gives it more");
    return cudaErrorMemoryAllocation;
  }
  if (kind != MemoryKind::kDevice) allocation->device = device;
  *out = reinterpret_cast<void*>(allocation->base);
  return cudaSuccess;
}

cudaError_t Memory::release(void* pointer, bool host, const std::string& call) {
  const u64 address = reinterpret_cast<u64>(pointer);
  const Arena* arena = arena_of(address);
  Allocation* allocation = arena != nullptr ? arena->find(address) : nullptr;
  if (allocation == nullptr || allocation->base != address || (allocation->kind != MemoryKind::kDevice) != host) {
    reports_.add(fmt::format("{}: {} is not the start of an allocation that it may free", call, pointer));
    return cudaErrorInvalidValue;
  }
  if (!allocation->live) {
    reports_.add(fmt::format("{}: allocation #{} was freed before, by {}", call, allocation->id, allocation->freed_by));
    return cudaErrorInvalidValue;
  }
  const_cast<Arena*>(arena)->release(*allocation, call);
  return cudaSuccess;
}

cudaError_t Memory::register_host(void* pointer, u64 bytes) {
  std::unique_lock lock(mutex_);
  const u64 address = reinterpret_cast<u64>(pointer);
  const auto after = registered_.lower_bound(address + bytes);
  if (after != registered_.begin() && std::prev(after)->second->end() > address) {
    return cudaErrorHostMemoryAlreadyRegistered;
  }
  auto allocation = std::make_unique<Allocation>();
  allocation->base = address;
  allocation->size = bytes;
  allocation->kind = MemoryKind::kPinned;
  allocation->made_by = "cudaHostRegister";
  registered_[address] = std::move(allocation);
  return cudaSuccess;
}

cudaError_t Memory::unregister_host(void* pointer) {
  std::unique_lock lock(mutex_);
  const auto found = registered_.find(reinterpret_cast<u64>(pointer));
  if (found == registered_.end()) return cudaErrorHostMemoryNotRegistered;
  unregistered_.push_back(std::move(found->second));  // an operation may still look at it
  registered_.erase(found);
  return cudaSuccess;
}

const Arena* Memory::arena_of(u64 address) const {
  for (const auto& arena : arenas_) {
    if (arena->contains(address)) return arena.get();
  }
  return nullptr;
}

Allocation* Memory::find(u64 address) const {
  if (const Arena* arena = arena_of(address)) {
    Allocation* allocation = arena->find(address);
    return allocation != nullptr && address < allocation->end() ? allocation : nullptr;
  }
  std::shared_lock lock(mutex_);
  const auto after = registered_.upper_bound(address);
  if (after == registered_.begin()) return nullptr;
  Allocation* allocation = std::prev(after)->second.get();
  return address < allocation->end() ? allocation : nullptr;
}

u8* Memory::access(const Access& access, AccessSet* accesses) const {
  if (access.bytes == 0) return reinterpret_cast<u8*>(access.address);
  const Allocation* allocation = find(access.address);
  if (allocation == nullptr || !allocation->live || access.address + access.bytes > allocation->end()) refuse(access);
  if (allocation->kind == MemoryKind::kDevice && allocation->device != access.device &&
      !peers(access.device, allocation->device)) {
    refuse(access);
  }
  if (accesses != nullptr) accesses->touch(access.address, access.bytes, access.write);
  const Arena* arena = arena_of(access.address);
  if (arena == nullptr) return reinterpret_cast<u8*>(access.address);
  if (arena->tracks_writes()) check_written(access, *arena, *allocation);
  return arena->data(access.address);
}

u8* Memory::access_any(const Access& access, AccessSet* accesses) const {
  const bool known = arena_of(access.address) != nullptr || find(access.address) != nullptr;
  if (known) return this->access(access, accesses);
  if (accesses != nullptr) accesses->touch(access.address, access.bytes, access.write);
  return reinterpret_cast<u8*>(access.address);
}

void Memory::check_written(const Access& access, const Arena& arena, const Allocation& allocation) const {
  u8* written = arena.written(access.address);
  if (access.write) {
    std::memset(written, 1, access.bytes);
    return;
  }
  if (!check_written_) return;
  const void* unwritten = std::memchr(written, 0, access.bytes);
  if (unwritten == nullptr) return;
  const u64 at = static_cast<u64>(static_cast<const u8*>(unwritten) - written);
  reports_.add(fmt::format("{}: reads device memory that was never written: byte {} of allocation #{} ({} bytes)",
                           access.who, access.address + at - allocation.base, allocation.id, allocation.size));
  std::memset(arena.written(allocation.base), 1, allocation.size);  // said once for each allocation
}

void Memory::refuse(const Access& access) const {
  const char* verb = access.write ? "write" : "read";
  const Arena* arena = arena_of(access.address);
  const Allocation* near = arena != nullptr ? arena->find(access.address) : find(access.address);
  std::string why;
  if (near != nullptr && !near->live) {
    why =
        fmt::format("use after free: allocation #{} ({} bytes) was freed by {}", near->id, near->size, near->freed_by);
  } else if (near != nullptr && access.address + access.bytes > near->end()) {
    why = fmt::format("out of bounds: {} bytes past the end of allocation #{} ({} bytes)",
                      access.address + access.bytes - near->end(), near->id, near->size);
  } else if (near != nullptr) {
    why = fmt::format("it is memory of device {}, which device {} has no peer access to", near->device, access.device);
  } else if (access.address < 4096) {
    why = "a null pointer";
  } else {
    why = "no device memory (a host pointer?)";
  }
  throw Fault{cudaErrorIllegalAddress,
              fmt::format("{}: {} of {} bytes at {:#x}: {}", access.who, verb, access.bytes, access.address, why)};
}

void Memory::allow_peer(int device, int peer, bool allow) {
  std::unique_lock lock(mutex_);
  peers_[{device, peer}] = allow;
}

bool Memory::peers(int device, int peer) const {
  std::shared_lock lock(mutex_);
  const auto found = peers_.find({device, peer});
  return found != peers_.end() && found->second;
}

}  // namespace cudasim
