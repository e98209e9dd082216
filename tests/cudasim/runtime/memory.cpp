// Memory: allocations, copies, sets.

#include <fmt/format.h>

#include <cstring>

#include "tests/cudasim/runtime/call.h"
#include "tests/cudasim/runtime/fatbin.h"

namespace cudasim {

namespace {

cudaError_t allocate(void** out, size_t bytes, MemoryKind kind, const char* name) {
  if (out == nullptr) return cudaErrorInvalidValue;
  *out = nullptr;
  return bytes == 0 ? cudaSuccess : machine().allocate(kind, current_device(), bytes, name, out);
}

struct Side {
  bool device = false, pageable = true;
  int kind = CUPTI_ACTIVITY_MEMORY_KIND_PAGEABLE;
};
Side side_of(const void* pointer) {
  const Memory& memory = machine().memory;
  const u64 address = reinterpret_cast<u64>(pointer);
  if (const Allocation* found = memory.find(address)) {
    const bool device = found->kind == MemoryKind::kDevice;
    return {device, false, device ? CUPTI_ACTIVITY_MEMORY_KIND_DEVICE : CUPTI_ACTIVITY_MEMORY_KIND_PINNED};
  }
  if (memory.arena_of(address) != nullptr)
    return {true, false, CUPTI_ACTIVITY_MEMORY_KIND_DEVICE};  // and out of bounds
  return {};
}

cudaMemcpyKind direction_of(const Side& from, const Side& to) {
  if (from.device) return to.device ? cudaMemcpyDeviceToDevice : cudaMemcpyDeviceToHost;
  return to.device ? cudaMemcpyHostToDevice : cudaMemcpyHostToHost;
}

/// Rows of `width` bytes; a plain copy has one.
struct Rows {
  void* to;
  size_t to_pitch;
  const void* from;
  size_t from_pitch, width, height;
};

/// A copy between devices may touch both; one side of any copy may be ordinary host memory.
int owner(const void* pointer, int device) {
  const Allocation* found = machine().memory.find(reinterpret_cast<u64>(pointer));
  return found != nullptr && found->kind == MemoryKind::kDevice ? found->device : device;
}

void run_copy(const Rows& rows, const std::vector<u8>& staged, Operation& op) {
  const Memory& memory = machine().memory;
  for (size_t row = 0; row < rows.height; ++row) {
    const u8* from = static_cast<const u8*>(rows.from) + row * rows.from_pitch;
    u8* to = static_cast<u8*>(rows.to) + row * rows.to_pitch;
    const u8* source = staged.empty() ? memory.access_any({reinterpret_cast<u64>(from), rows.width, false,
                                                           owner(from, op.device), "cudaMemcpy, source"},
                                                          &op.accesses)
                                      : staged.data() + row * rows.width;
    u8* target = memory.access_any(
        {reinterpret_cast<u64>(to), rows.width, true, owner(to, op.device), "cudaMemcpy, destination"}, &op.accesses);
    std::memmove(target, source, rows.width);
  }
}

/// Pageable memory: its bytes are taken before an asynchronous call returns; a copy into it is finished before that.
cudaError_t copy(const Rows& rows, cudaMemcpyKind kind, cudaStream_t handle, bool async) {
  Machine& m = machine();
  const Side from = side_of(rows.from), to = side_of(rows.to);
  const cudaMemcpyKind direction = direction_of(from, to);
  if (rows.width == 0 || rows.height == 0) return cudaSuccess;
  if (kind != cudaMemcpyDefault && kind != direction) {
    m.reports.add(fmt::format("cudaMemcpy: kind {} does not fit the pointers, which make it {}", static_cast<int>(kind),
                              static_cast<int>(direction)));
    return cudaErrorInvalidValue;
  }
  Stream* const stream = stream_of(handle);
  if ((from.pageable || to.pageable) && m.captures.is_capturing(*stream))
    throw Fault{cudaErrorNotSupported, "copies of pageable memory in a graph are not implemented"};
  auto staged = std::make_shared<std::vector<u8>>();
  if (from.pageable && direction == cudaMemcpyHostToDevice && async) {
    for (size_t row = 0; row < rows.height; ++row) {
      const u8* at = static_cast<const u8*>(rows.from) + row * rows.from_pitch;
      staged->insert(staged->end(), at, at + rows.width);
    }
  }
  const OperationPtr op = m.enqueue(
      stream, OperationKind::kCopy, "memcpy",
      [rows, staged](Operation& running) {
        run_copy(rows, *staged, running);
        return true;
      },
      [&](Operation& made) { made.copy = {rows.width * rows.height, direction, from.kind, to.kind, 0, async}; });
  if (!async || (to.pageable && !to.device)) m.wait(op);
  return m.sticky(stream->device);
}

cudaError_t set(void* to, int value, size_t bytes, cudaStream_t handle, bool async) {
  Machine& m = machine();
  if (bytes == 0) return cudaSuccess;
  Stream* const stream = stream_of(handle);
  m.enqueue(
      stream, OperationKind::kSet, "memset",
      [=, &m](Operation& op) {
        u8* target = m.memory.access({reinterpret_cast<u64>(to), bytes, true, op.device, "cudaMemset"}, &op.accesses);
        std::memset(target, value, bytes);
        return true;
      },
      [&](Operation& op) { op.copy = {bytes, cudaMemcpyDefault, 0, side_of(to).kind, value, async}; });
  return cudaSuccess;
}

/// The device waits for all its work before it frees, as cudaFree does.
cudaError_t release(void* pointer, bool host, const char* name) {
  if (pointer == nullptr) return cudaSuccess;
  machine().wait_device(current_device());
  return machine().release(pointer, host, name);
}

}  // namespace

}  // namespace cudasim

using namespace cudasim;

CUDASIM_API cudaError_t cudaMalloc(void** out, size_t bytes) {
  return CUDASIM_CALL(cudaMalloc, cudaMalloc_v3020,
                      [&] { return allocate(out, bytes, MemoryKind::kDevice, "cudaMalloc"); });
}
CUDASIM_API cudaError_t cudaMallocHost(void** out, size_t bytes) {
  return CUDASIM_CALL(cudaMallocHost, cudaMallocHost_v3020,
                      [&] { return allocate(out, bytes, MemoryKind::kPinned, "cudaMallocHost"); });
}
CUDASIM_API cudaError_t cudaHostAlloc(void** out, size_t bytes, unsigned) {
  return CUDASIM_CALL(cudaHostAlloc, cudaHostAlloc_v3020,
                      [&] { return allocate(out, bytes, MemoryKind::kPinned, "cudaHostAlloc"); });
}
CUDASIM_API cudaError_t cudaFree(void* pointer) {
  return CUDASIM_CALL(cudaFree, cudaFree_v3020, [&] { return release(pointer, false, "cudaFree"); });
}
CUDASIM_API cudaError_t cudaFreeHost(void* pointer) {
  return CUDASIM_CALL(cudaFreeHost, cudaFreeHost_v3020, [&] { return release(pointer, true, "cudaFreeHost"); });
}
CUDASIM_API cudaError_t cudaHostRegister(void* pointer, size_t bytes, unsigned) {
  return CUDASIM_CALL(cudaHostRegister, cudaHostRegister_v4000,
                      [&] { return machine().memory.register_host(pointer, bytes); });
}
CUDASIM_API cudaError_t cudaHostUnregister(void* pointer) {
  return CUDASIM_CALL(cudaHostUnregister, cudaHostUnregister_v4000, [&] {
    machine().wait_device(current_device());
    return machine().memory.unregister_host(pointer);
  });
}
CUDASIM_API cudaError_t cudaHostGetDevicePointer(void** out, void* host, unsigned) {
  return CUDASIM_CALL(cudaHostGetDevicePointer, cudaHostGetDevicePointer_v3020, [&] {
    if (side_of(host).pageable) return cudaErrorInvalidValue;
    *out = host;
    return cudaSuccess;
  });
}

CUDASIM_API cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return CUDASIM_CALL(cudaMemcpy, cudaMemcpy_v3020, [&] {
    return copy({to, 0, from, 0, bytes, 1}, kind, nullptr, false);
  });
}
CUDASIM_API cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                                        cudaStream_t stream) {
  return CUDASIM_CALL(cudaMemcpyAsync, cudaMemcpyAsync_v3020, [&] {
    return copy({to, 0, from, 0, bytes, 1}, kind, stream, true);
  });
}
CUDASIM_API cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                                     size_t height, cudaMemcpyKind kind) {
  return CUDASIM_CALL(cudaMemcpy2D, cudaMemcpy2D_v3020, [&] {
    return copy({to, to_pitch, from, from_pitch, width, height}, kind, nullptr, false);
  });
}
CUDASIM_API cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                                          size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return CUDASIM_CALL(cudaMemcpy2DAsync, cudaMemcpy2DAsync_v3020, [&] {
    return copy({to, to_pitch, from, from_pitch, width, height}, kind, stream, true);
  });
}
CUDASIM_API cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t bytes, cudaStream_t stream) {
  return CUDASIM_CALL(cudaMemcpyPeerAsync, cudaMemcpyPeerAsync_v4000, [&] {
    return copy({to, 0, from, 0, bytes, 1}, cudaMemcpyDeviceToDevice, stream, true);
  });
}
CUDASIM_API cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  return CUDASIM_CALL(cudaMemset, cudaMemset_v3020, [&] { return set(to, value, bytes, nullptr, false); });
}
CUDASIM_API cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return CUDASIM_CALL(cudaMemsetAsync, cudaMemsetAsync_v3020, [&] { return set(to, value, bytes, stream, true); });
}

CUDASIM_API cudaError_t cudaGetSymbolAddress(void** out, const void* symbol) {
  return CUDASIM_CALL(cudaGetSymbolAddress, cudaGetSymbolAddress_v3020, [&] {
    *out = reinterpret_cast<void*>(programs().variable(symbol, current_device()).address);
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* from, size_t bytes, size_t offset,
                                                cudaMemcpyKind kind, cudaStream_t stream) {
  return CUDASIM_CALL(cudaMemcpyToSymbolAsync, cudaMemcpyToSymbolAsync_v3020, [&] {
    void* to = reinterpret_cast<void*>(programs().variable(symbol, current_device()).address + offset);
    return copy({to, 0, from, 0, bytes, 1}, kind, stream, true);
  });
}
CUDASIM_API cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* from, size_t bytes, size_t offset,
                                           cudaMemcpyKind kind) {
  return CUDASIM_CALL(cudaMemcpyToSymbol, cudaMemcpyToSymbol_v3020, [&] {
    void* to = reinterpret_cast<void*>(programs().variable(symbol, current_device()).address + offset);
    return copy({to, 0, from, 0, bytes, 1}, kind, nullptr, false);
  });
}
CUDASIM_API cudaError_t cudaMemcpyFromSymbol(void* to, const void* symbol, size_t bytes, size_t offset,
                                             cudaMemcpyKind kind) {
  return CUDASIM_CALL(cudaMemcpyFromSymbol, cudaMemcpyFromSymbol_v3020, [&] {
    const void* from = reinterpret_cast<void*>(programs().variable(symbol, current_device()).address + offset);
    return copy({to, 0, from, 0, bytes, 1}, kind, nullptr, false);
  });
}
CUDASIM_API cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* out, const void* pointer) {
  return CUDASIM_CALL(cudaPointerGetAttributes, cudaPointerGetAttributes_v4000, [&] {
    *out = {};
    const Side side = side_of(pointer);
    out->type = side.device ? cudaMemoryTypeDevice : side.pageable ? cudaMemoryTypeUnregistered : cudaMemoryTypeHost;
    out->device = owner(pointer, current_device());
    out->devicePointer = side.pageable ? nullptr : const_cast<void*>(pointer);
    out->hostPointer = side.device ? nullptr : const_cast<void*>(pointer);
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaMemGetInfo(size_t* unused, size_t* total) {
  return CUDASIM_CALL(cudaMemGetInfo, cudaMemGetInfo_v3020, [&] {
    const Memory& memory = machine().memory;
    *total = memory.capacity();
    *unused = memory.capacity() - memory.arena(current_device()).used();
    return cudaSuccess;
  });
}
