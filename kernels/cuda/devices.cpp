#include "kernels/cuda/devices.h"

#include <fmt/format.h>

#include "core/engine/arena.h"
#include "kernels/cuda/cuda_backend.h"

namespace shardscope {
namespace cuda {
namespace {

/// "13.0" of 13000.
std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

/// Why there is no device to use, and what would help.
Error no_device(cudaError_t status) {
  int driver = 0, runtime = 0;
  (void)cudaDriverGetVersion(&driver);
  (void)cudaRuntimeGetVersion(&runtime);
  std::string reason;
  if (driver == 0) {
    reason = "there is no NVIDIA driver here";
  } else if (status == cudaErrorInsufficientDriver) {
    reason = fmt::format("the NVIDIA driver is for CUDA {} and this program needs {}: a newer driver would do",
                         version_text(driver), version_text(runtime));
  } else if (status == cudaErrorNoDevice) {
    reason = "the driver shows no GPU (is CUDA_VISIBLE_DEVICES empty?)";
  } else {
    reason = fmt::format("{} ({})", cudaGetErrorString(status), cudaGetErrorName(status));
  }
  return {ErrorKind::kDevice, fmt::format("no GPU to run on: {}; --backend cpu runs the same program", reason)};
}

int device_count() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) throw no_device(status == cudaSuccess ? cudaErrorNoDevice : status);
  return count;
}

}  // namespace

DeviceInfo open_device(int index) {
  const std::vector<DeviceInfo> devices = list_devices();
  const auto count = static_cast<int>(devices.size());
  if (index < 0 || index >= count) {
    throw Error(ErrorKind::kDevice,
                fmt::format("GPU {}: this process sees {} (0 to {}); one rank needs one GPU", index, count, count - 1));
  }
  check(cudaSetDevice(index), "cudaSetDevice");
  return devices[static_cast<std::size_t>(index)];
}

std::vector<DeviceInfo> list_devices() {
  std::vector<DeviceInfo> devices(static_cast<std::size_t>(device_count()));
  for (std::size_t i = 0; i < devices.size(); ++i) {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, static_cast<int>(i)), "cudaGetDeviceProperties");
    devices[i] = {static_cast<int>(i), properties.multiProcessorCount, properties.major * 10 + properties.minor,
                  static_cast<std::int64_t>(properties.totalGlobalMem), properties.name};
  }
  return devices;
}

Error out_of_memory(const DeviceInfo& device, std::int64_t bytes, const char* what, cudaError_t status) {
  std::size_t free_bytes = 0, total = 0;
  (void)cudaMemGetInfo(&free_bytes, &total);
  return {ErrorKind::kDevice,
          fmt::format("GPU {} ({}): {} are needed {} and {} of its {} are free ({})", device.index, device.name,
                      format_bytes(bytes), what, format_bytes(static_cast<std::int64_t>(free_bytes)),
                      format_bytes(static_cast<std::int64_t>(total)), cudaGetErrorString(status))};
}

}  // namespace cuda

std::vector<CudaDevice> cuda_devices() {
  std::vector<CudaDevice> devices;
  for (const cuda::DeviceInfo& device : cuda::list_devices()) devices.push_back({device.name, device.memory_bytes});
  return devices;
}

}  // namespace shardscope
