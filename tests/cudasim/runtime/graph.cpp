// Graphs: by capture of streams only, on one device. Other ways to make them, and to change them, are not there.

#include <fmt/format.h>

#include <map>

#include "tests/cudasim/core/graph.h"
#include "tests/cudasim/runtime/call.h"

namespace cudasim {

namespace {

/// What handles stand for; they are numbers that are never used twice.
template <class T>
class Handles {
 public:
  void* add(std::shared_ptr<T> what) {
    std::lock_guard lock(mutex_);
    live_[++last_] = std::move(what);
    return reinterpret_cast<void*>(last_);
  }
  std::shared_ptr<T> find(const void* handle) {
    std::lock_guard lock(mutex_);
    const auto found = live_.find(reinterpret_cast<u64>(handle));
    if (found == live_.end()) throw Fault{cudaErrorInvalidValue, "the graph is not there, or was destroyed"};
    return found->second;
  }
  void remove(const void* handle) {
    find(handle);
    std::lock_guard lock(mutex_);
    live_.erase(reinterpret_cast<u64>(handle));
  }

 private:
  std::mutex mutex_;
  std::map<u64, std::shared_ptr<T>> live_;
  u64 last_ = 0;
};

Handles<Graph>& graphs() {
  static auto* const all = new Handles<Graph>;
  return *all;
}
Handles<GraphExec>& executables() {
  static auto* const all = new Handles<GraphExec>;
  return *all;
}

int device_of(const Graph& graph) {
  const int device = graph.nodes.empty() ? current_device() : graph.nodes.front().what->device;
  for (const GraphNode& node : graph.nodes) {
    if (node.what->device != device)
      throw Fault{cudaErrorNotSupported, "graphs of several devices are not implemented"};
  }
  return device;
}

}  // namespace

bool is_unsafe_in_captures(u32 call) {
  switch (call) {
    case CUPTI_RUNTIME_TRACE_CBID_cudaMalloc_v3020:
    case CUPTI_RUNTIME_TRACE_CBID_cudaMallocHost_v3020:
    case CUPTI_RUNTIME_TRACE_CBID_cudaHostAlloc_v3020:
    case CUPTI_RUNTIME_TRACE_CBID_cudaFree_v3020:
    case CUPTI_RUNTIME_TRACE_CBID_cudaFreeHost_v3020:
    case CUPTI_RUNTIME_TRACE_CBID_cudaHostRegister_v4000:
    case CUPTI_RUNTIME_TRACE_CBID_cudaHostUnregister_v4000:
    case CUPTI_RUNTIME_TRACE_CBID_cudaMemcpy_v3020:
    case CUPTI_RUNTIME_TRACE_CBID_cudaMemcpy2D_v3020:
    case CUPTI_RUNTIME_TRACE_CBID_cudaMemcpyToSymbol_v3020:
    case CUPTI_RUNTIME_TRACE_CBID_cudaMemcpyFromSymbol_v3020:
    case CUPTI_RUNTIME_TRACE_CBID_cudaMemset_v3020:
    case CUPTI_RUNTIME_TRACE_CBID_cudaStreamSynchronize_v3020:
    case CUPTI_RUNTIME_TRACE_CBID_cudaStreamQuery_v3020:
    case CUPTI_RUNTIME_TRACE_CBID_cudaEventSynchronize_v3020:
    case CUPTI_RUNTIME_TRACE_CBID_cudaEventQuery_v3020:
    case CUPTI_RUNTIME_TRACE_CBID_cudaDeviceSynchronize_v3020:
      return true;
    default:
      return false;
  }
}

}  // namespace cudasim

using namespace cudasim;

CUDASIM_API cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return CUDASIM_CALL(cudaStreamBeginCapture, cudaStreamBeginCapture_v10000, [&] {
    machine().captures.begin(*stream_of(handle), mode);
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* out) {
  return CUDASIM_CALL(cudaStreamEndCapture, cudaStreamEndCapture_v10000, [&] {
    *out = nullptr;
    *out = static_cast<cudaGraph_t>(graphs().add(machine().captures.end(*stream_of(handle))));
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* out) {
  return CUDASIM_CALL(cudaStreamIsCapturing, cudaStreamIsCapturing_v10000, [&] {
    *out = machine().captures.status(*stream_of(handle));
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaGraphInstantiate(cudaGraphExec_t* out, cudaGraph_t handle, unsigned long long flags) {
  return CUDASIM_CALL(cudaGraphInstantiate, cudaGraphInstantiate_v12000, [&] {
    if (flags != 0) throw Fault{cudaErrorNotSupported, fmt::format("flags {:x} are not implemented", flags)};
    const auto graph = graphs().find(handle);
    *out = static_cast<cudaGraphExec_t>(executables().add(std::make_shared<GraphExec>(*graph, device_of(*graph))));
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t on) {
  return CUDASIM_CALL(cudaGraphLaunch, cudaGraphLaunch_v10000, [&] {
    const auto exec = executables().find(handle);
    Stream* const stream = stream_of(on);
    if (exec->device != stream->device)
      throw Fault{cudaErrorNotSupported, "graphs launched from another device are not implemented"};
    if (machine().captures.is_capturing(*stream))
      throw Fault{cudaErrorNotSupported, "graphs in graphs are not implemented"};
    launch(*exec, stream);
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle) {
  return CUDASIM_CALL(cudaGraphExecDestroy, cudaGraphExecDestroy_v10000, [&] {
    executables().remove(handle);
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaGraphDestroy(cudaGraph_t handle) {
  return CUDASIM_CALL(cudaGraphDestroy, cudaGraphDestroy_v10000, [&] {
    graphs().remove(handle);
    return cudaSuccess;
  });
}
