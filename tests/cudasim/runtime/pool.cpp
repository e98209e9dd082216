// Stream-ordered allocation. An allocation is usable at once, which its stream's order allows, and gone when the stream
// reaches its free; pools have the default pool's behaviour and their attributes are kept.

#include <map>

#include "tests/cudasim/runtime/call.h"

namespace cudasim {

namespace {

struct Pool {
  int device = 0;
  std::map<int, u64> attributes;
};

Pool* default_pool(int device) {
  static std::mutex mutex;
  static auto* const pools = new std::map<int, Pool>;
  std::lock_guard lock(mutex);
  Pool& pool = (*pools)[device];
  pool.device = device;
  return &pool;
}

cudaError_t allocate(void** out, size_t bytes, int device, cudaStream_t stream, const char* name) {
  if (machine().captures.is_capturing(*stream_of(stream)))
    throw Fault{cudaErrorNotSupported, std::string(name) + " in a graph is not implemented"};
  *out = nullptr;
  return bytes == 0 ? cudaSuccess : machine().allocate(MemoryKind::kDevice, device, bytes, name, out);
}

}  // namespace

}  // namespace cudasim

using namespace cudasim;

CUDASIM_API cudaError_t cudaMallocAsync(void** out, size_t bytes, cudaStream_t stream) {
  return CUDASIM_CALL(cudaMallocAsync, cudaMallocAsync_v11020,
                      [&] { return allocate(out, bytes, current_device(), stream, "cudaMallocAsync"); });
}
CUDASIM_API cudaError_t cudaMallocFromPoolAsync(void** out, size_t bytes, cudaMemPool_t pool, cudaStream_t stream) {
  return CUDASIM_CALL(cudaMallocFromPoolAsync, cudaMallocFromPoolAsync_v11020, [&] {
    return allocate(out, bytes, reinterpret_cast<Pool*>(pool)->device, stream, "cudaMallocFromPoolAsync");
  });
}
CUDASIM_API cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  return CUDASIM_CALL(cudaFreeAsync, cudaFreeAsync_v11020, [&] {
    Machine& m = machine();
    m.enqueue(stream_of(stream), OperationKind::kFree, "cudaFreeAsync", [pointer, &m](Operation& op) {
      const Allocation* found = m.memory.find(reinterpret_cast<u64>(pointer));
      if (found != nullptr && found->live)
        op.accesses.touch(found->base, found->size, true);  // what still uses it races
      m.release(pointer, false, "cudaFreeAsync");
      return true;
    });
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  return CUDASIM_CALL(cudaDeviceGetDefaultMemPool, cudaDeviceGetDefaultMemPool_v11020, [&] {
    *pool = reinterpret_cast<cudaMemPool_t>(default_pool(device));
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* pool, int device) {
  return cudaDeviceGetDefaultMemPool(pool, device);
}
CUDASIM_API cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* props) {
  return CUDASIM_CALL(cudaMemPoolCreate, cudaMemPoolCreate_v11020, [&] {
    *pool = reinterpret_cast<cudaMemPool_t>(new Pool{props->location.id, {}});
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) {
  return CUDASIM_CALL(cudaMemPoolDestroy, cudaMemPoolDestroy_v11020, [&] {
    delete reinterpret_cast<Pool*>(pool);
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  return CUDASIM_CALL(cudaMemPoolSetAttribute, cudaMemPoolSetAttribute_v11020, [&] {
    const bool wide = attribute >= cudaMemPoolAttrReleaseThreshold;
    reinterpret_cast<Pool*>(pool)->attributes[attribute] =
        wide ? *static_cast<u64*>(value) : static_cast<u64>(*static_cast<int*>(value));
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  return CUDASIM_CALL(cudaMemPoolGetAttribute, cudaMemPoolGetAttribute_v11020, [&] {
    const Pool& of = *reinterpret_cast<Pool*>(pool);
    const bool used = attribute >= cudaMemPoolAttrReservedMemCurrent;
    const auto found = of.attributes.find(attribute);
    const u64 kept = used ? machine().memory.arena(of.device).used() : found == of.attributes.end() ? 0 : found->second;
    if (attribute >= cudaMemPoolAttrReleaseThreshold) {
      *static_cast<u64*>(value) = kept;
    } else {
      *static_cast<int*>(value) = static_cast<int>(kept);
    }
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) {
  return CUDASIM_CALL(cudaMemPoolTrimTo, cudaMemPoolTrimTo_v11020,
                      [] { return cudaSuccess; });  // nothing is kept back here
}
