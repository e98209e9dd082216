// The calls of CUPTI that profilers make, and the injection that the driver does when it starts.

#include <cupti.h>
#include <dlfcn.h>

#include "tests/cudasim/cupti/recorder.h"
#include "tests/cudasim/runtime/call.h"

namespace cudasim {

/// As cuInit does: a library named in CUDA_INJECTION64_PATH is loaded and its InitializeInjection called.
void inject_library() {
  const char* path = std::getenv("CUDA_INJECTION64_PATH");
  if (path == nullptr || *path == 0) return;
  void* library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
  auto* initialize = library == nullptr ? nullptr : reinterpret_cast<int (*)()>(dlsym(library, "InitializeInjection"));
  if (initialize == nullptr) {
    std::fprintf(stderr, "[cudasim] CUDA_INJECTION64_PATH: %s\n", dlerror());
    return;
  }
  initialize();
}

}  // namespace cudasim

using namespace cudasim;

CUDASIM_API CUptiResult cuptiGetVersion(u32* version) {
  *version = CUPTI_API_VERSION;
  return CUPTI_SUCCESS;
}
CUDASIM_API CUptiResult cuptiGetTimestamp(u64* timestamp) {
  *timestamp = now_ns();
  return CUPTI_SUCCESS;
}
CUDASIM_API CUptiResult cuptiGetResultString(CUptiResult result, const char** text) {
  *text = result == CUPTI_SUCCESS ? "CUPTI_SUCCESS" : "an error of the emulated CUPTI";
  return CUPTI_SUCCESS;
}
CUDASIM_API CUptiResult cuptiActivityRegisterCallbacks(CUpti_BuffersCallbackRequestFunc request,
                                                       CUpti_BuffersCallbackCompleteFunc complete) {
  if (request == nullptr || complete == nullptr) return CUPTI_ERROR_INVALID_PARAMETER;
  recorder().buffers.set_callbacks(request, complete);
  return CUPTI_SUCCESS;
}
CUDASIM_API CUptiResult cuptiActivityEnable(CUpti_ActivityKind kind) {
  recorder().enable(kind, true);
  return CUPTI_SUCCESS;
}
CUDASIM_API CUptiResult cuptiActivityDisable(CUpti_ActivityKind kind) {
  recorder().enable(kind, false);
  return CUPTI_SUCCESS;
}
CUDASIM_API CUptiResult cuptiActivityEnableRuntimeApi(CUpti_CallbackId id, u8 enable) {
  recorder().enable_call(false, id, enable != 0);
  return CUPTI_SUCCESS;
}
CUDASIM_API CUptiResult cuptiActivityEnableDriverApi(CUpti_CallbackId id, u8 enable) {
  recorder().enable_call(true, id, enable != 0);
  return CUPTI_SUCCESS;
}
CUDASIM_API CUptiResult cuptiActivityFlushAll(u32 flag) {
  recorder().buffers.flush((flag & CUPTI_ACTIVITY_FLAG_FLUSH_FORCED) != 0);
  return CUPTI_SUCCESS;
}
CUDASIM_API CUptiResult cuptiActivityFlushPeriod(u32) { return CUPTI_SUCCESS; }
CUDASIM_API CUptiResult cuptiActivitySetAttribute(CUpti_ActivityAttribute, size_t*, void*) {
  return CUPTI_SUCCESS;
}  // sizes and hints
CUDASIM_API CUptiResult cuptiActivityGetNextRecord(u8* buffer, size_t valid, CUpti_Activity** record) {
  const u8* at = buffer;
  if (*record != nullptr) at = reinterpret_cast<u8*>(*record) + stride_of((*record)->kind);
  if (at >= buffer + valid) return CUPTI_ERROR_MAX_LIMIT_REACHED;
  *record = reinterpret_cast<CUpti_Activity*>(const_cast<u8*>(at));
  return stride_of((*record)->kind) > 0 ? CUPTI_SUCCESS : CUPTI_ERROR_INVALID_KIND;
}
CUDASIM_API CUptiResult cuptiActivityGetNumDroppedRecords(CUcontext, u32, size_t* dropped) {
  *dropped = recorder().buffers.take_dropped();
  return CUPTI_SUCCESS;
}
CUDASIM_API CUptiResult cuptiActivityPushExternalCorrelationId(CUpti_ExternalCorrelationKind kind, u64 id) {
  external_ids()[kind].push_back(id);
  return CUPTI_SUCCESS;
}
CUDASIM_API CUptiResult cuptiActivityPopExternalCorrelationId(CUpti_ExternalCorrelationKind kind, u64* last) {
  std::vector<u64>& ids = external_ids()[kind];
  if (ids.empty()) return CUPTI_ERROR_QUEUE_EMPTY;
  if (last != nullptr) *last = ids.back();
  ids.pop_back();
  return CUPTI_SUCCESS;
}
CUDASIM_API CUptiResult cuptiSetThreadIdType(CUpti_ActivityThreadIdType type) {
  recorder().use_system_threads(type == CUPTI_ACTIVITY_THREAD_ID_TYPE_SYSTEM);
  return CUPTI_SUCCESS;
}
CUDASIM_API CUptiResult cuptiGetCallbackName(CUpti_CallbackDomain domain, u32 id, const char** name) {
  *name = recorder().call_name(domain, id);
  return *name != nullptr ? CUPTI_SUCCESS : CUPTI_ERROR_INVALID_PARAMETER;
}
CUDASIM_API CUptiResult cuptiSubscribe(CUpti_SubscriberHandle* subscriber, CUpti_CallbackFunc callback, void* data) {
  *subscriber = reinterpret_cast<CUpti_SubscriberHandle>(&recorder());
  return recorder().subscribe(callback, data);
}
CUDASIM_API CUptiResult cuptiUnsubscribe(CUpti_SubscriberHandle) {
  recorder().unsubscribe();
  return CUPTI_SUCCESS;
}
CUDASIM_API CUptiResult cuptiEnableDomain(u32 enable, CUpti_SubscriberHandle, CUpti_CallbackDomain domain) {
  recorder().enable_callback(domain, 0, enable != 0);
  return CUPTI_SUCCESS;
}
CUDASIM_API CUptiResult cuptiEnableCallback(u32 enable, CUpti_SubscriberHandle, CUpti_CallbackDomain domain,
                                            CUpti_CallbackId id) {
  recorder().enable_callback(domain, id, enable != 0);
  return CUPTI_SUCCESS;
}
CUDASIM_API CUptiResult cuptiFinalize() { return CUPTI_SUCCESS; }
