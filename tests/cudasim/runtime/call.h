#pragma once
// What every call of the runtime does around its work: a correlation id, what CUDASIM_FAIL injects, the hooks, the
// thread's last error.
//
//   CUDASIM_API cudaError_t cudaFree(void* p) {
//     return CUDASIM_CALL(cudaFree, cudaFree_v3020, [&] { return ...; });
//   }

#include <cuda_runtime_api.h>
#include <cupti.h>

#include <utility>

#include "tests/cudasim/core/machine.h"

#define CUDASIM_API extern "C" __attribute__((visibility("default")))

namespace cudasim {

inline cudaError_t keep(cudaError_t code) {
  if (code != cudaSuccess && code != cudaErrorNotReady) last_error() = code;
  return code;
}

/// Calls that would wait for the device, or that a capture would not see (cudaThreadExchangeStreamCaptureMode).
bool is_unsafe_in_captures(u32 call);

/// Calls that work without a device leave `needs_device` false; the others return the device's sticky error, if it has
/// one.
template <class Work>
cudaError_t call(CallInfo info, Work work, bool needs_device = true) {
  Machine& m = machine();
  if (needs_device && m.settings.unavailable() != cudaSuccess) return keep(m.settings.unavailable());
  info.correlation = m.next_correlation();
  const u64 outer = std::exchange(current_correlation(), info.correlation);
  info.start_ns = now_ns();
  if (Observer* watching = m.observer) watching->called(info);
  cudaError_t code = static_cast<cudaError_t>(m.injected(info.name));
  if (code == cudaSuccess && needs_device) code = m.sticky(current_device());
  try {
    if (is_unsafe_in_captures(info.id)) m.captures.refuse_unsafe();
    if (code == cudaSuccess) code = work();
  } catch (const Refused& refused) {
    code = refused.code;
  } catch (const Fault& fault) {
    m.reports.add(std::string(info.name) + ": " + fault.what);
    code = fault.code;
  }
  info.end_ns = now_ns();
  info.result = code;
  if (Observer* watching = m.observer) watching->called(info);
  current_correlation() = outer;
  return keep(code);
}

#define CUDASIM_CALL(name, id, ...) ::cudasim::call({CUPTI_RUNTIME_TRACE_CBID_##id, #name, #id}, __VA_ARGS__)

/// The stream of a handle on the current device. Throws Fault where it is none of them.
Stream* stream_of(cudaStream_t handle);

}  // namespace cudasim
