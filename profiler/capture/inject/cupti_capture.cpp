#include "profiler/capture/inject/cupti_capture.h"

#include <cupti.h>
#include <dlfcn.h>

#include <cstdlib>
#include <mutex>
#include <vector>

#include "profiler/capture/inject/cupti_decode.h"

namespace shardscope::capture {

namespace {

constexpr std::size_t kBufferBytes = 4 << 20;  ///< as PyTorch's profiler has it
constexpr std::size_t kDeviceBufferBytes = 8 << 20;
constexpr std::uint32_t kOldest = 18;  ///< CUpti API version of CUDA 12.0

struct Cupti {
  decltype(&cuptiGetVersion) get_version = nullptr;
  decltype(&cuptiSubscribe) subscribe = nullptr;
  decltype(&cuptiActivityRegisterCallbacks) register_callbacks = nullptr;
  decltype(&cuptiActivityEnable) enable = nullptr;
  decltype(&cuptiActivityDisable) disable = nullptr;
  decltype(&cuptiActivityFlushAll) flush_all = nullptr;
  decltype(&cuptiActivityGetNextRecord) next_record = nullptr;
  decltype(&cuptiActivityGetNumDroppedRecords) dropped = nullptr;
  decltype(&cuptiActivitySetAttribute) set_attribute = nullptr;
  decltype(&cuptiSetThreadIdType) set_thread_ids = nullptr;
  decltype(&cuptiGetCallbackName) callback_name = nullptr;
  // Since 12.5; may be null.
  decltype(&cuptiActivityEnableRuntimeApi) enable_runtime_call = nullptr;
  decltype(&cuptiActivityEnableDriverApi) enable_driver_call = nullptr;
};

/// A buffer that CUPTI gave back.
struct Full {
  std::uint8_t* data;
  std::size_t valid;
};

Cupti cupti;
std::mutex full_mutex, switch_mutex;
std::vector<Full> full;
std::atomic<std::uint32_t> on{0};  ///< Source bits that are switched on
bool running = false;

void* open_cupti() {
  // The copy that the process already has, first: two of them fight for the driver.
  for (const char* name : {"libcupti.so.13", "libcupti.so.12", "libcupti.so"}) {
    if (void* library = dlopen(name, RTLD_NOW | RTLD_NOLOAD)) return library;
  }
  if (const char* path = std::getenv("SHARDSCOPE_CUPTI"); path != nullptr && *path != '\0')
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
  for (const char* name : {"libcupti.so.13", "libcupti.so.12", "libcupti.so",
                           "/usr/local/cuda/extras/CUPTI/lib64/libcupti.so", "/usr/local/cuda/lib64/libcupti.so"}) {
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
  }
  return nullptr;
}

template <class Function>
bool load(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

bool load_cupti() {
  void* library = open_cupti();
  if (library == nullptr) return false;
  load(library, "cuptiActivityEnableRuntimeApi", cupti.enable_runtime_call);
  load(library, "cuptiActivityEnableDriverApi", cupti.enable_driver_call);
  return load(library, "cuptiGetVersion", cupti.get_version) && load(library, "cuptiSubscribe", cupti.subscribe) &&
         load(library, "cuptiActivityRegisterCallbacks", cupti.register_callbacks) &&
         load(library, "cuptiActivityEnable", cupti.enable) && load(library, "cuptiActivityDisable", cupti.disable) &&
         load(library, "cuptiActivityFlushAll", cupti.flush_all) &&
         load(library, "cuptiActivityGetNextRecord", cupti.next_record) &&
         load(library, "cuptiActivityGetNumDroppedRecords", cupti.dropped) &&
         load(library, "cuptiActivitySetAttribute", cupti.set_attribute) &&
         load(library, "cuptiSetThreadIdType", cupti.set_thread_ids) &&
         load(library, "cuptiGetCallbackName", cupti.callback_name);
}

// On CUPTI's thread or on one of the job's. Zeroed pages, as we promise CUPTI below. Never null where memory is left:
// CUPTI before 12.9 crashes on null.
void CUPTIAPI give_buffer(std::uint8_t** buffer, std::size_t* bytes, std::size_t* most_records) {
  *buffer = static_cast<std::uint8_t*>(std::calloc(1, kBufferBytes));
  *bytes = *buffer != nullptr ? kBufferBytes : 0;
  *most_records = 0;
}

void CUPTIAPI take_buffer(CUcontext, std::uint32_t, std::uint8_t* buffer, std::size_t, std::size_t valid) {
  const std::lock_guard lock(full_mutex);
  full.push_back({buffer, valid});
}

const char* call_name(bool driver, std::uint32_t number) {
  const char* name = nullptr;
  const CUpti_CallbackDomain domain = driver ? CUPTI_CB_DOMAIN_DRIVER_API : CUPTI_CB_DOMAIN_RUNTIME_API;
  return cupti.callback_name(domain, number, &name) == CUPTI_SUCCESS ? name : nullptr;
}

void write_gap(Spool& spool, const char* why) {
  const std::uint64_t text = spool.intern(why);
  auto* record = spool.begin<GapRecord>(RecordKind::kGap);
  if (record == nullptr) return;
  record->head.time_ns = now_ns();
  record->end_ns = 0;
  record->why = text;
  spool.commit(record);
}

struct SourceKinds {
  std::uint32_t source;
  CUpti_ActivityKind kind;
};

constexpr SourceKinds kKinds[] = {
    {kSourceKernels, CUPTI_ACTIVITY_KIND_DEVICE},
    {kSourceKernels, CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL},
    {kSourceKernels, CUPTI_ACTIVITY_KIND_MEMCPY},
    {kSourceKernels, CUPTI_ACTIVITY_KIND_MEMCPY2},
    {kSourceKernels, CUPTI_ACTIVITY_KIND_MEMSET},
    {kSourceApi, CUPTI_ACTIVITY_KIND_RUNTIME},
    {kSourceApi, CUPTI_ACTIVITY_KIND_DRIVER},
    {kSourceApi, CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION},
    {kSourceMemory, CUPTI_ACTIVITY_KIND_MEMORY2},
    {kSourceSync, CUPTI_ACTIVITY_KIND_SYNCHRONIZATION},
    {kSourceEnvironment, CUPTI_ACTIVITY_KIND_ENVIRONMENT},
};

/// Calls that ask and never wait: most of a trace's volume, none of its time.
void leave_out_queries() {
  if (cupti.enable_runtime_call == nullptr) return;
  for (const CUpti_runtime_api_trace_cbid call :
       {CUPTI_RUNTIME_TRACE_CBID_cudaGetDevice_v3020, CUPTI_RUNTIME_TRACE_CBID_cudaSetDevice_v3020,
        CUPTI_RUNTIME_TRACE_CBID_cudaGetLastError_v3020, CUPTI_RUNTIME_TRACE_CBID_cudaPeekAtLastError_v3020,
        CUPTI_RUNTIME_TRACE_CBID_cudaEventQuery_v3020, CUPTI_RUNTIME_TRACE_CBID_cudaStreamIsCapturing_v10000,
        CUPTI_RUNTIME_TRACE_CBID_cudaDeviceGetAttribute_v5000})
    cupti.enable_runtime_call(call, 0);
}

bool is_launch(CUpti_CallbackId call) {
  switch (call) {
    case CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel:
    case CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel_ptsz:
    case CUPTI_DRIVER_TRACE_CBID_cuLaunchKernelEx:
    case CUPTI_DRIVER_TRACE_CBID_cuLaunchKernelEx_ptsz:
    case CUPTI_DRIVER_TRACE_CBID_cuLaunchCooperativeKernel:
    case CUPTI_DRIVER_TRACE_CBID_cuGraphLaunch:
      return true;
    default:
      return false;
  }
}

/// Of the driver, what launches: the rest is the runtime asking it things, 150 times a millisecond in PyTorch. To name
/// one call that is wanted switches on all of them (seen with CUPTI 13.0), so the others are switched off.
void leave_out_driver_queries() {
  if (cupti.enable_driver_call == nullptr) return;
  for (std::uint32_t call = 1; call < CUPTI_DRIVER_TRACE_CBID_SIZE; ++call) {
    if (!is_launch(call)) cupti.enable_driver_call(call, 0);
  }
}

}  // namespace

bool start_cupti(Spool& spool) {
  if (!load_cupti()) return write_gap(spool, "CUPTI: no library found; set SHARDSCOPE_CUPTI to libcupti.so"), false;
  std::uint32_t version = 0;
  cupti.get_version(&version);
  if (version < kOldest) return write_gap(spool, "CUPTI: older than that of CUDA 12.0"), false;
  // The one subscriber of the process: tells us who else is there, and later ones that we are.
  CUpti_SubscriberHandle subscriber = nullptr;
  const CUptiResult result = cupti.subscribe(
      &subscriber, [](void*, CUpti_CallbackDomain, CUpti_CallbackId, const void*) {}, nullptr);
  if (result == CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED)
    return write_gap(spool, "CUPTI: another tool holds it (a profiler or a sanitizer)"), false;
  if (result != CUPTI_SUCCESS) return write_gap(spool, "CUPTI: cannot be subscribed to; is there a device?"), false;
  cupti.set_thread_ids(CUPTI_ACTIVITY_THREAD_ID_TYPE_SYSTEM);
  std::uint8_t zeroed = 1;
  std::size_t one = sizeof zeroed, device_bytes = kDeviceBufferBytes, size = sizeof device_bytes;
  cupti.set_attribute(CUPTI_ACTIVITY_ATTR_ZEROED_OUT_ACTIVITY_BUFFER, &one, &zeroed);
  cupti.set_attribute(CUPTI_ACTIVITY_ATTR_DEVICE_BUFFER_SIZE, &size, &device_bytes);
  if (cupti.register_callbacks(give_buffer, take_buffer) != CUPTI_SUCCESS)
    return write_gap(spool, "CUPTI: takes no buffers from us"), false;
  running = true;
  match_sources(spool);
  return true;
}

void match_sources(Spool& spool) {
  if (!running) return;
  const std::lock_guard lock(switch_mutex);  // the keeper, and a thread that begins a chosen step
  const std::uint32_t wanted = spool.header().enabled.load(std::memory_order_relaxed);
  const std::uint32_t before = on.exchange(wanted);
  if (wanted == before) return;
  for (const auto& [source, kind] : kKinds) {
    if (((wanted ^ before) & source) == 0) continue;
    if ((wanted & source) != 0) {
      cupti.enable(kind);
    } else {
      cupti.disable(kind);
    }
  }
  // One record a launch of a graph, unless its kernels are asked for.
  const auto whole_graphs = [](std::uint32_t s) { return (s & kSourceKernels) != 0 && (s & kSourceGraphNodes) == 0; };
  if (whole_graphs(wanted) && !whole_graphs(before)) cupti.enable(CUPTI_ACTIVITY_KIND_GRAPH_TRACE);
  if (!whole_graphs(wanted) && whole_graphs(before)) cupti.disable(CUPTI_ACTIVITY_KIND_GRAPH_TRACE);
  if ((wanted & kSourceApi & ~before) != 0) {
    leave_out_queries();
    leave_out_driver_queries();
  }
}

void flush_cupti(Spool& spool, bool everything) {
  if (!running) return;
  cupti.flush_all(everything ? CUPTI_ACTIVITY_FLAG_FLUSH_FORCED : 0);
  std::vector<Full> taken;
  {
    const std::lock_guard lock(full_mutex);
    taken.swap(full);
  }
  const DecodeCalls calls{cupti.next_record, call_name, [](const char* name) { return name; }};
  for (const Full& buffer : taken) {
    decode_activities(spool, buffer.data, buffer.valid, calls);
    std::free(buffer.data);
  }
  std::size_t dropped = 0;
  if (cupti.dropped(nullptr, 0, &dropped) == CUPTI_SUCCESS && dropped > 0)
    spool.header().lost_activities.fetch_add(dropped, std::memory_order_relaxed);
}

void forget_cupti() {
  running = false;
  new (&switch_mutex) std::mutex;
  new (&full_mutex) std::mutex;  // another thread of the parent may have held it
  new (&full) std::vector<Full>;
}

}  // namespace shardscope::capture
