// Streams, events and host functions.

#include "tests/cudasim/runtime/call.h"

namespace cudasim {

Stream* stream_of(cudaStream_t handle) {
  if (handle == cudaStreamPerThread)
    throw Fault{cudaErrorNotSupported, "per-thread default streams are not implemented"};
  Stream* const stream = machine().stream(handle, current_device());
  if (stream == nullptr) throw Fault{cudaErrorInvalidResourceHandle, "the stream is not there, or was destroyed"};
  if (stream->device != current_device()) {
    throw Fault{cudaErrorInvalidResourceHandle, "the stream belongs to device " + std::to_string(stream->device) +
                                                    ", and device " + std::to_string(current_device()) + " is current"};
  }
  return stream;
}

namespace {

Event& event_of(cudaEvent_t handle) {
  if (handle == nullptr) throw Fault{cudaErrorInvalidResourceHandle, "no event"};
  return *reinterpret_cast<Event*>(handle);
}

std::atomic<u32> event_count = 0;

void say_waited(int type, const Stream* stream, u32 event, u64 start) {
  if (Observer* watching = machine().observer)
    watching->waited({type, stream, event, start, now_ns(), current_correlation()});
}

}  // namespace

}  // namespace cudasim

using namespace cudasim;

CUDASIM_API cudaError_t cudaStreamCreateWithPriority(cudaStream_t* out, unsigned flags, int priority) {
  return CUDASIM_CALL(cudaStreamCreateWithPriority, cudaStreamCreateWithPriority_v5050, [&] {
    *out = reinterpret_cast<cudaStream_t>(
        machine().create_stream(current_device(), (flags & cudaStreamNonBlocking) == 0, priority));
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaStreamCreateWithFlags(cudaStream_t* out, unsigned flags) {
  return CUDASIM_CALL(cudaStreamCreateWithFlags, cudaStreamCreateWithFlags_v5000, [&] {
    *out = reinterpret_cast<cudaStream_t>(
        machine().create_stream(current_device(), (flags & cudaStreamNonBlocking) == 0, 0));
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaStreamCreate(cudaStream_t* out) {
  return cudaStreamCreateWithFlags(out, cudaStreamDefault);
}
CUDASIM_API cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return CUDASIM_CALL(cudaStreamDestroy, cudaStreamDestroy_v5050, [&] {
    machine().captures.refuse_wait_for(*stream_of(handle));
    machine().destroy_stream(stream_of(handle));
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return CUDASIM_CALL(cudaStreamSynchronize, cudaStreamSynchronize_v3020, [&] {
    const u64 start = now_ns();
    Stream* const stream = stream_of(handle);
    machine().captures.refuse_wait_for(*stream);
    machine().wait(machine().last_of(stream));
    say_waited(CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_STREAM_SYNCHRONIZE, stream, 0, start);
    return machine().sticky(stream->device);
  });
}
CUDASIM_API cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return CUDASIM_CALL(cudaStreamQuery, cudaStreamQuery_v3020, [&] {
    Stream* const stream = stream_of(handle);
    machine().captures.refuse_wait_for(*stream);
    const bool done = machine().is_done(machine().last_of(stream));
    return machine().sticky(stream->device) != cudaSuccess ? machine().sticky(stream->device)
           : done                                          ? cudaSuccess
                                                           : cudaErrorNotReady;
  });
}
CUDASIM_API cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  return CUDASIM_CALL(cudaStreamWaitEvent, cudaStreamWaitEvent_v3020, [&] {
    Stream* const stream = stream_of(handle);
    const OperationPtr recorded = event_of(event).recorded.load();
    if (machine().captures.wait(*stream, event_of(event).captured.load(), recorded != nullptr)) return cudaSuccess;
    if (recorded) machine().enqueue(stream, OperationKind::kWait, "wait", nullptr, {}, {recorded});
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaStreamGetPriority(cudaStream_t handle, int* priority) {
  *priority = stream_of(handle)->priority;
  return cudaSuccess;
}
CUDASIM_API cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned* flags) {
  *flags = stream_of(handle)->blocking ? cudaStreamDefault : cudaStreamNonBlocking;
  return cudaSuccess;
}
CUDASIM_API cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* data) {
  return CUDASIM_CALL(cudaLaunchHostFunc, cudaLaunchHostFunc_v10000, [&] {
    machine().enqueue(stream_of(handle), OperationKind::kHost, "host function", [=](Operation&) {
      function(data);
      return true;
    });
    return cudaSuccess;
  });
}

CUDASIM_API cudaError_t cudaEventCreateWithFlags(cudaEvent_t* out, unsigned flags) {
  return CUDASIM_CALL(cudaEventCreateWithFlags, cudaEventCreateWithFlags_v3020, [&] {
    auto* made = new Event;
    made->id = ++event_count;
    made->flags = flags;
    made->device = current_device();
    *out = reinterpret_cast<cudaEvent_t>(made);
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaEventCreate(cudaEvent_t* out) { return cudaEventCreateWithFlags(out, cudaEventDefault); }
CUDASIM_API cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return CUDASIM_CALL(cudaEventDestroy, cudaEventDestroy_v3020, [&] {
    delete &event_of(event);
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t handle, unsigned) {
  return CUDASIM_CALL(cudaEventRecord, cudaEventRecord_v3020, [&] {
    Stream* const stream = stream_of(handle);
    Event& to = event_of(event);
    if (to.device != stream->device)
      throw Fault{cudaErrorInvalidResourceHandle, "the event is of another device than the stream"};
    const CapturedPointPtr captured = machine().captures.record(*stream);
    to.captured = captured;
    to.recorded = captured ? nullptr : machine().enqueue(stream, OperationKind::kEvent, "event", nullptr);
    return cudaSuccess;
  });
}
CUDASIM_API cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  return cudaEventRecordWithFlags(event, handle, 0);
}
CUDASIM_API cudaError_t cudaEventQuery(cudaEvent_t event) {
  return CUDASIM_CALL(cudaEventQuery, cudaEventQuery_v3020, [&] {
    machine().captures.refuse_wait_for(event_of(event).captured.load());
    return machine().is_done(event_of(event).recorded.load()) ? cudaSuccess : cudaErrorNotReady;
  });
}
CUDASIM_API cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return CUDASIM_CALL(cudaEventSynchronize, cudaEventSynchronize_v3020, [&] {
    const u64 start = now_ns();
    const Event& on = event_of(event);
    machine().captures.refuse_wait_for(on.captured.load());
    const OperationPtr recorded = on.recorded.load();
    machine().wait(recorded);
    say_waited(CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_EVENT_SYNCHRONIZE, recorded ? recorded->stream : nullptr, on.id,
               start);
    return machine().sticky(on.device);
  });
}
CUDASIM_API cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t first, cudaEvent_t last) {
  return CUDASIM_CALL(cudaEventElapsedTime, cudaEventElapsedTime_v3020, [&] {
    for (const cudaEvent_t one : {first, last}) machine().captures.refuse_wait_for(event_of(one).captured.load());
    const OperationPtr from = event_of(first).recorded.load(), to = event_of(last).recorded.load();
    const bool untimed = ((event_of(first).flags | event_of(last).flags) & cudaEventDisableTiming) != 0;
    if (!from || !to || untimed) return cudaErrorInvalidResourceHandle;
    if (!machine().is_done(from) || !machine().is_done(to)) return cudaErrorNotReady;
    *milliseconds = static_cast<float>((static_cast<double>(to->end_ns) - static_cast<double>(from->end_ns)) * 1e-6);
    return cudaSuccess;
  });
}
