#pragma once
// Which GPUs there are, and what is said when there is none that can be used.
//
//   DeviceInfo device = open_device(0);   // throws Error{kDevice} that names the reason

#include <cstdint>
#include <vector>

#include "core/error.h"
#include "kernels/cuda/kernel.h"

namespace shardscope::cuda {

/// Makes it the calling thread's device. Throws Error{kDevice}: no driver, driver too old, no such device.
DeviceInfo open_device(int index);

/// All that this process sees. Throws Error{kDevice} if there is none.
std::vector<DeviceInfo> list_devices();

/// What to say when `bytes` are not to be had; `what` they are for: "for the program".
Error out_of_memory(const DeviceInfo& device, std::int64_t bytes, const char* what, cudaError_t status);

}  // namespace shardscope::cuda
