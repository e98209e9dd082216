#include "tests/cudasim/cupti/recorder.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "tests/cudasim/runtime/limits.h"

namespace cudasim {

namespace {

size_t padded(size_t bytes) { return (bytes + 7) & ~size_t{7}; }

u32 context_of(int device) { return static_cast<u32>(device) + 1; }

/// What the runtime calls in turn, of the calls that launch; 0: of no interest.
u32 driver_call(const CallInfo& call) {
  if (call.by_library) return CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel;
  switch (call.id) {
    case CUPTI_RUNTIME_TRACE_CBID_cudaLaunchKernel_v7000:
    case CUPTI_RUNTIME_TRACE_CBID_cudaLaunchKernelExC_v11060:
    case CUPTI_RUNTIME_TRACE_CBID_cudaLaunchCooperativeKernel_v9000:
      return CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel;
    case CUPTI_RUNTIME_TRACE_CBID_cudaGraphLaunch_v10000:
      return CUPTI_DRIVER_TRACE_CBID_cuGraphLaunch;
    default:
      return 0;
  }
}

u8 copy_kind(cudaMemcpyKind direction) {
  switch (direction) {
    case cudaMemcpyHostToDevice:
      return CUPTI_ACTIVITY_MEMCPY_KIND_HTOD;
    case cudaMemcpyDeviceToHost:
      return CUPTI_ACTIVITY_MEMCPY_KIND_DTOH;
    case cudaMemcpyDeviceToDevice:
      return CUPTI_ACTIVITY_MEMCPY_KIND_DTOD;
    default:
      return CUPTI_ACTIVITY_MEMCPY_KIND_HTOH;
  }
}

/// What records of device work have in common.
template <class Record>
Record record_of(const Operation& op, CUpti_ActivityKind kind) {
  Record r{};
  r.kind = kind;
  r.start = op.start_ns;
  r.end = op.end_ns;
  r.deviceId = static_cast<u32>(op.device);
  r.contextId = context_of(op.device);
  r.streamId = op.stream->id;
  r.correlationId = static_cast<u32>(op.correlation);
  return r;
}

}  // namespace

Recorder& recorder() {
  static Recorder* const made = new Recorder(machine());
  return *made;
}

std::map<int, std::vector<u64>>& external_ids() {
  static thread_local std::map<int, std::vector<u64>> ids;
  return ids;
}

size_t stride_of(CUpti_ActivityKind kind) {
  switch (kind) {
    case CUPTI_ACTIVITY_KIND_KERNEL:
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
      return padded(sizeof(CUpti_ActivityKernel10));
    case CUPTI_ACTIVITY_KIND_MEMCPY:
      return padded(sizeof(CUpti_ActivityMemcpy6));
    case CUPTI_ACTIVITY_KIND_MEMSET:
      return padded(sizeof(CUpti_ActivityMemset4));
    case CUPTI_ACTIVITY_KIND_RUNTIME:
    case CUPTI_ACTIVITY_KIND_DRIVER:
      return padded(sizeof(CUpti_ActivityAPI));
    case CUPTI_ACTIVITY_KIND_SYNCHRONIZATION:
      return padded(sizeof(CUpti_ActivitySynchronization2));
    case CUPTI_ACTIVITY_KIND_MEMORY2:
      return padded(sizeof(CUpti_ActivityMemory4));
    case CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION:
      return padded(sizeof(CUpti_ActivityExternalCorrelation));
    case CUPTI_ACTIVITY_KIND_DEVICE:
      return padded(sizeof(CUpti_ActivityDevice5));
    case CUPTI_ACTIVITY_KIND_GRAPH_TRACE:
      return padded(sizeof(CUpti_ActivityGraphTrace2));
    default:
      return 0;
  }
}

Recorder::Recorder(Machine& machine) : buffers(machine.settings.seed), machine_(machine) { machine.observer = this; }

template <class Record>
void Recorder::put(const Record& record) {
  if (!is_on(record.kind)) return;
  u8 bytes[sizeof(Record) + 8] = {};
  std::memcpy(bytes, &record, sizeof record);
  buffers.put(bytes, stride_of(record.kind));
}

bool Recorder::is_on(CUpti_ActivityKind kind) {
  std::lock_guard lock(mutex_);
  return on_.contains(kind);
}

const char* Recorder::keep_text(const std::string& text) {
  std::lock_guard lock(mutex_);
  return texts_.insert(text).first->c_str();
}

u32 Recorder::thread() const {
  return static_cast<u32>(system_threads_ ? static_cast<u64>(syscall(SYS_gettid)) : pthread_self());
}

void Recorder::enable(CUpti_ActivityKind kind, bool on) {
  {
    std::lock_guard lock(mutex_);
    if (!on) {
      on_.erase(kind);
      return;
    }
    if (!on_.insert(kind).second) return;
  }
  for (int device = 0; kind == CUPTI_ACTIVITY_KIND_DEVICE && device < machine_.settings.devices; ++device)
    put_device(device);
}

void Recorder::enable_call(bool driver, u32 id, bool on) {
  std::lock_guard lock(mutex_);
  if (on) {
    on_.insert(driver ? CUPTI_ACTIVITY_KIND_DRIVER : CUPTI_ACTIVITY_KIND_RUNTIME);
    calls_off_.erase({driver, id});
  } else {
    calls_off_.insert({driver, id});
  }
}

CUptiResult Recorder::subscribe(CUpti_CallbackFunc callback, void* data) {
  std::lock_guard lock(mutex_);
  if (callback_ != nullptr) return CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED;
  callback_ = callback;
  callback_data_ = data;
  return CUPTI_SUCCESS;
}

void Recorder::unsubscribe() {
  std::lock_guard lock(mutex_);
  callback_ = nullptr;
  callbacks_.clear();
}

void Recorder::enable_callback(CUpti_CallbackDomain domain, u32 id, bool on) {
  std::lock_guard lock(mutex_);
  if (on) {
    callbacks_.insert({domain, id});
  } else {
    callbacks_.erase({domain, id});
  }
}

const char* Recorder::call_name(CUpti_CallbackDomain domain, u32 id) {
  if (domain == CUPTI_CB_DOMAIN_DRIVER_API)
    return id == CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel ? "cuLaunchKernel" : nullptr;
  std::lock_guard lock(mutex_);
  const auto found = names_.find(id);
  return domain == CUPTI_CB_DOMAIN_RUNTIME_API && found != names_.end() ? found->second : nullptr;
}

void Recorder::put_device(int device) {
  CUpti_ActivityDevice5 r{};
  r.kind = CUPTI_ACTIVITY_KIND_DEVICE;
  r.globalMemorySize = machine_.memory.capacity();
  r.globalMemoryBandwidth = 3'352'320'000;  // kB/s: an H100 SXM's, as its data sheet says
  const bool is_odd = device == machine_.settings.odd_device;
  r.numMultiprocessors = is_odd ? kSms / 2 : kSms;
  r.numThreadsPerWarp = 32;
  r.coreClockRate = 1'980'000;  // kHz
  r.computeCapabilityMajor = 9;
  r.id = static_cast<u32>(device);
  r.name = is_odd ? kOddDeviceName : kDeviceName;
  r.isCudaVisible = 1;
  put(r);
}

void Recorder::put_external(u64 correlation) {
  for (const auto& [kind, ids] : external_ids()) {
    if (ids.empty()) continue;
    CUpti_ActivityExternalCorrelation r{};
    r.kind = CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION;
    r.externalKind = static_cast<CUpti_ExternalCorrelationKind>(kind);
    r.externalId = ids.back();
    r.correlationId = static_cast<u32>(correlation);
    put(r);
  }
}

void Recorder::put_call(const CallInfo& call) {
  CUpti_ActivityAPI r{};
  r.start = call.start_ns;
  r.end = call.end_ns;
  r.processId = static_cast<u32>(getpid());
  r.threadId = thread();
  r.correlationId = static_cast<u32>(call.correlation);
  const auto wanted = [&](bool driver, u32 id) {
    std::lock_guard lock(mutex_);
    return !calls_off_.contains({driver, id});
  };
  const u32 driver = driver_call(call);
  if (driver != 0 && wanted(true, driver)) {
    r.kind = CUPTI_ACTIVITY_KIND_DRIVER;
    r.cbid = driver;
    put(r);
  }
  if (call.by_library || !wanted(false, call.id)) return;
  r.kind = CUPTI_ACTIVITY_KIND_RUNTIME;
  r.cbid = call.id;
  r.returnValue = static_cast<u32>(call.result);
  put(r);
}

void Recorder::tell_subscriber(const CallInfo& call) {
  CUpti_CallbackFunc callback = nullptr;
  void* data = nullptr;
  {
    std::lock_guard lock(mutex_);
    const bool wanted = callbacks_.contains({CUPTI_CB_DOMAIN_RUNTIME_API, 0}) ||
                        callbacks_.contains({CUPTI_CB_DOMAIN_RUNTIME_API, call.id});
    if (callback_ == nullptr || !wanted) return;
    callback = callback_;
    data = callback_data_;
  }
  cudaError_t result = static_cast<cudaError_t>(call.result);
  CUpti_CallbackData d{};
  d.callbackSite = call.end_ns != 0 ? CUPTI_API_EXIT : CUPTI_API_ENTER;
  d.functionName = call.name;
  d.functionReturnValue = call.end_ns != 0 ? &result : nullptr;
  d.correlationId = static_cast<u32>(call.correlation);
  callback(data, CUPTI_CB_DOMAIN_RUNTIME_API, call.id, &d);
}

void Recorder::called(const CallInfo& call) {
  if (!call.by_library) {
    {
      std::lock_guard lock(mutex_);
      names_[call.id] = call.versioned;
    }
    tell_subscriber(call);
  }
  if (call.end_ns == 0) {
    put_external(call.correlation);
  } else {
    put_call(call);
  }
}

/// A graph is one record, or its nodes are records, each with the correlation of the launch.
void Recorder::finished(const Operation& op) {
  if (op.kind == OperationKind::kGraph) return put_graph(op);
  if (op.graph != 0 && is_on(CUPTI_ACTIVITY_KIND_GRAPH_TRACE)) return;
  switch (op.kind) {
    case OperationKind::kKernel:
    case OperationKind::kCollective:
      return put_kernel(op);
    case OperationKind::kCopy:
    case OperationKind::kSet:
      return put_copy(op);
    default:
      return;
  }
}

void Recorder::put_kernel(const Operation& op) {
  auto r = record_of<CUpti_ActivityKernel10>(op, CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
  r.completed = op.end_ns;
  r.gridX = static_cast<s32>(op.kernel.grid.x);
  r.gridY = static_cast<s32>(op.kernel.grid.y);
  r.gridZ = static_cast<s32>(op.kernel.grid.z);
  r.blockX = static_cast<s32>(op.kernel.block.x);
  r.blockY = static_cast<s32>(op.kernel.block.y);
  r.blockZ = static_cast<s32>(op.kernel.block.z);
  r.staticSharedMemory = static_cast<s32>(op.kernel.static_shared);
  r.dynamicSharedMemory = static_cast<s32>(op.kernel.dynamic_shared);
  r.registersPerThread = static_cast<u16>(op.kernel.registers);
  r.gridId = static_cast<s64>(op.id);
  r.name = keep_text(op.name);
  r.graphId = op.graph;
  r.graphNodeId = op.graph_node;
  put(r);
}

void Recorder::put_graph(const Operation& end) {
  auto r = record_of<CUpti_ActivityGraphTrace2>(end, CUPTI_ACTIVITY_KIND_GRAPH_TRACE);
  r.start = end.begun->start_ns;
  r.graphId = end.graph;
  r.endDeviceId = r.deviceId;
  r.endContextId = r.contextId;
  put(r);
}

void Recorder::put_copy(const Operation& op) {
  if (op.kind == OperationKind::kSet) {
    auto r = record_of<CUpti_ActivityMemset4>(op, CUPTI_ACTIVITY_KIND_MEMSET);
    r.value = static_cast<u32>(op.copy.value);
    r.bytes = op.copy.bytes;
    r.memoryKind = static_cast<u16>(op.copy.target_kind);
    r.graphId = op.graph;
    r.graphNodeId = op.graph_node;
    return put(r);
  }
  auto r = record_of<CUpti_ActivityMemcpy6>(op, CUPTI_ACTIVITY_KIND_MEMCPY);
  r.copyKind = copy_kind(op.copy.direction);
  r.srcKind = static_cast<u8>(op.copy.source_kind);
  r.dstKind = static_cast<u8>(op.copy.target_kind);
  r.flags = op.copy.async ? CUPTI_ACTIVITY_FLAG_MEMCPY_ASYNC : CUPTI_ACTIVITY_FLAG_NONE;
  r.bytes = op.copy.bytes;
  r.copyCount = 1;
  r.graphId = op.graph;
  r.graphNodeId = op.graph_node;
  put(r);
}

void Recorder::waited(const WaitInfo& wait) {
  CUpti_ActivitySynchronization2 r{};
  r.kind = CUPTI_ACTIVITY_KIND_SYNCHRONIZATION;
  r.type = static_cast<CUpti_ActivitySynchronizationType>(wait.type);
  r.start = wait.start_ns;
  r.end = wait.end_ns;
  r.correlationId = static_cast<u32>(wait.correlation);
  r.contextId = context_of(current_device());
  r.streamId = wait.stream != nullptr ? wait.stream->id : static_cast<u32>(CUPTI_SYNCHRONIZATION_INVALID_VALUE);
  r.cudaEventId = wait.event != 0 ? wait.event : static_cast<u32>(CUPTI_SYNCHRONIZATION_INVALID_VALUE);
  put(r);
}

void Recorder::memory(const MemoryInfo& change) {
  CUpti_ActivityMemory4 r{};
  r.kind = CUPTI_ACTIVITY_KIND_MEMORY2;
  r.memoryOperationType =
      change.allocates ? CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_ALLOCATION : CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_RELEASE;
  r.memoryKind =
      change.kind == MemoryKind::kDevice ? CUPTI_ACTIVITY_MEMORY_KIND_DEVICE : CUPTI_ACTIVITY_MEMORY_KIND_PINNED;
  r.correlationId = static_cast<u32>(change.correlation);
  r.address = change.address;
  r.bytes = change.bytes;
  r.timestamp = now_ns();
  r.processId = static_cast<u32>(getpid());
  r.deviceId = static_cast<u32>(change.device);
  r.contextId = context_of(change.device);
  put(r);
}

}  // namespace cudasim
