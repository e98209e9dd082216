// Devices: how many, which is current, what they say about themselves.

#include <cstdio>
#include <cstring>

#include "tests/cudasim/runtime/call.h"
#include "tests/cudasim/runtime/limits.h"

namespace cudasim {

namespace {

bool exists(int device) { return device >= 0 && device < machine().settings.devices; }

cudaDeviceProp properties(int device) {
  cudaDeviceProp p{};
  const bool is_odd = device == machine().settings.odd_device;
  std::snprintf(p.name, sizeof p.name, "%s", is_odd ? kOddDeviceName : kDeviceName);
  p.major = machine().settings.compute / 10;
  p.minor = machine().settings.compute % 10;
  p.totalGlobalMem = machine().memory.capacity();
  p.sharedMemPerBlock = kSharedDefault;
  p.sharedMemPerBlockOptin = kSharedMost;
  p.sharedMemPerMultiprocessor = kSharedPerSm;
  p.reservedSharedMemPerBlock = 1024;
  p.regsPerBlock = p.regsPerMultiprocessor = 65536;
  p.warpSize = 32;
  p.maxThreadsPerBlock = kMostThreads;
  p.maxThreadsPerMultiProcessor = kThreadsPerSm;
  p.maxBlocksPerMultiProcessor = kBlocksPerSm;
  p.maxThreadsDim[0] = p.maxThreadsDim[1] = 1024;
  p.maxThreadsDim[2] = 64;
  p.maxGridSize[0] = 0x7fffffff;
  p.maxGridSize[1] = p.maxGridSize[2] = 65535;
  p.multiProcessorCount = is_odd ? kSms / 2 : kSms;
  p.l2CacheSize = 50 << 20;
  p.totalConstMem = 64 << 10;
  p.asyncEngineCount = 3;
  p.concurrentKernels = p.canMapHostMemory = p.unifiedAddressing = p.cooperativeLaunch = p.memoryPoolsSupported = 1;
  p.streamPrioritiesSupported = 1;
  p.pciBusID = machine().settings.physical(device) + 1;
  p.memoryBusWidth = 5120;
  std::memcpy(p.uuid.bytes, "cudasim", 7);
  p.uuid.bytes[15] = static_cast<char>(machine().settings.physical(device));
  return p;
}

/// A number of an attribute, or -1: not implemented.
int attribute_value(cudaDeviceAttr attribute, const cudaDeviceProp& p) {
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      return p.maxThreadsPerBlock;
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY:
      return 1024;
    case cudaDevAttrMaxBlockDimZ:
      return 64;
    case cudaDevAttrMaxGridDimX:
      return 0x7fffffff;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ:
      return 65535;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      return static_cast<int>(p.sharedMemPerBlock);
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return static_cast<int>(p.sharedMemPerBlockOptin);
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      return static_cast<int>(p.sharedMemPerMultiprocessor);
    case cudaDevAttrReservedSharedMemoryPerBlock:
      return 1024;
    case cudaDevAttrWarpSize:
      return 32;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      return 65536;
    case cudaDevAttrMultiProcessorCount:
      return p.multiProcessorCount;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      return static_cast<int>(kThreadsPerSm);
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      return static_cast<int>(kBlocksPerSm);
    case cudaDevAttrComputeCapabilityMajor:
      return p.major;
    case cudaDevAttrComputeCapabilityMinor:
      return p.minor;
    case cudaDevAttrL2CacheSize:
      return p.l2CacheSize;
    case cudaDevAttrClockRate:
      return 1'980'000;  // kHz; an H100 SXM's, as its data sheet says
    case cudaDevAttrMemoryClockRate:
      return 2'619'000;
    case cudaDevAttrGlobalMemoryBusWidth:
      return p.memoryBusWidth;
    case cudaDevAttrAsyncEngineCount:
      return 3;
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrStreamPrioritiesSupported:
    case cudaDevAttrHostRegisterSupported:
    case cudaDevAttrMemoryPoolsSupported:
      return 1;
    case cudaDevAttrManagedMemory:
    case cudaDevAttrConcurrentManagedAccess:
    case cudaDevAttrPageableMemoryAccess:
    case cudaDevAttrIntegrated:
    case cudaDevAttrComputeMode:
    case cudaDevAttrEccEnabled:
    case cudaDevAttrGPUDirectRDMASupported:
    case cudaDevAttrPciDomainId:
    case cudaDevAttrPciDeviceId:
      return 0;
    case cudaDevAttrPciBusId:
      return p.pciBusID;
    default:
      return -1;
  }
}

}  // namespace

}  // namespace cudasim

using namespace cudasim;

CUDASIM_API cudaError_t cudaGetDeviceCount(int* count) {
  return CUDASIM_CALL(
      cudaGetDeviceCount, cudaGetDeviceCount_v3020,
      [&] {
        *count = machine().settings.devices;
        return machine().settings.unavailable();
      },
      false);
}
CUDASIM_API cudaError_t cudaSetDevice(int device) {
  return CUDASIM_CALL(
      cudaSetDevice, cudaSetDevice_v3020,
      [&] {
        if (machine().settings.unavailable() != cudaSuccess) return machine().settings.unavailable();
        if (!exists(device)) return cudaErrorInvalidDevice;
        current_device() = device;
        return machine().sticky(device);
      },
      false);
}
CUDASIM_API cudaError_t cudaInitDevice(int device, unsigned, unsigned) {
  return exists(device) ? cudaSuccess : keep(cudaErrorInvalidDevice);
}
CUDASIM_API cudaError_t cudaGetDevice(int* device) {
  *device = current_device();
  return keep(machine().settings.unavailable());
}
CUDASIM_API cudaError_t cudaGetDeviceProperties(cudaDeviceProp* out, int device) {
  return CUDASIM_CALL(cudaGetDeviceProperties, cudaGetDeviceProperties_v3020, [&] {
    if (!exists(device)) return cudaErrorInvalidDevice;
    *out = properties(device);
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaDeviceGetAttribute(int* out, cudaDeviceAttr attribute, int device) {
  return CUDASIM_CALL(cudaDeviceGetAttribute, cudaDeviceGetAttribute_v5000, [&] {
    if (!exists(device)) return cudaErrorInvalidDevice;
    *out = attribute_value(attribute, properties(device));
    if (*out >= 0) return cudaSuccess;
    machine().reports.add("cudaDeviceGetAttribute: attribute " + std::to_string(attribute) + " is not implemented");
    return cudaErrorNotSupported;
  });
}
CUDASIM_API cudaError_t cudaDeviceGetPCIBusId(char* out, int bytes, int device) {
  return CUDASIM_CALL(cudaDeviceGetPCIBusId, cudaDeviceGetPCIBusId_v4010, [&] {
    if (!exists(device)) return cudaErrorInvalidDevice;
    std::snprintf(out, static_cast<size_t>(bytes), "0000:%02x:00.0", machine().settings.physical(device) + 1);
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}
CUDASIM_API cudaError_t cudaDeviceSynchronize() {
  return CUDASIM_CALL(cudaDeviceSynchronize, cudaDeviceSynchronize_v3020, [&] {
    Machine& m = machine();
    const u64 start = now_ns();
    m.captures.refuse_wait_for_device(current_device());
    m.wait_device(current_device());
    if (Observer* watching = m.observer) {
      watching->waited({CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_CONTEXT_SYNCHRONIZE, nullptr, 0, start, now_ns(),
                        current_correlation()});
    }
    return m.sticky(current_device());
  });
}
CUDASIM_API cudaError_t cudaDeviceReset() { return cudaDeviceSynchronize(); }
CUDASIM_API cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  *can = exists(device) && exists(peer) && device != peer ? 1 : 0;
  return exists(device) && exists(peer) ? cudaSuccess : keep(cudaErrorInvalidDevice);
}
CUDASIM_API cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned) {
  return CUDASIM_CALL(cudaDeviceEnablePeerAccess, cudaDeviceEnablePeerAccess_v4000, [&] {
    if (!exists(peer)) return cudaErrorInvalidDevice;
    if (machine().memory.peers(current_device(), peer)) return cudaErrorPeerAccessAlreadyEnabled;
    machine().memory.allow_peer(current_device(), peer, true);
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaDriverGetVersion(int* version) {
  *version = machine().settings.driver;
  return cudaSuccess;
}
CUDASIM_API cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = kRuntimeVersion;
  return cudaSuccess;
}
CUDASIM_API cudaError_t cudaSetDeviceFlags(unsigned) { return cudaSuccess; }
CUDASIM_API cudaError_t cudaProfilerStart() { return cudaSuccess; }
CUDASIM_API cudaError_t cudaProfilerStop() { return cudaSuccess; }
