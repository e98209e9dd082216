#include "simulator/analytic/target.h"

namespace shardscope {

Target target_of(const HardwareCatalog& catalog, const SystemSpec& system) {
  return {find_gpu(catalog, system.gpu), system, find_fabric(catalog, system.fabric)};
}

Target target_of(const HardwareCatalog& catalog, std::string_view system) {
  return target_of(catalog, find_system(catalog, system));
}

Target target_of(const ClusterSpec& cluster) {
  Target target;
  GpuSpec& gpu = target.gpu;
  gpu.name = gpu.title = cluster.device.name;
  gpu.architecture = cluster.device.architecture;
  gpu.multiprocessors = cluster.device.multiprocessors > 0 ? cluster.device.multiprocessors : 108;  // guess: an A100's
  gpu.vector_fp32 = cluster.device.peak_flops[static_cast<std::size_t>(DType::kF32)];
  gpu.switch_reduces = cluster.device.switch_reduces;
  for (const auto& [dtype, arithmetic] : kTensorPeaks) {
    gpu.peak[static_cast<std::size_t>(arithmetic)] = cluster.device.peak_flops[static_cast<std::size_t>(dtype)];
  }
  gpu.peak[static_cast<std::size_t>(Arithmetic::kFp8)] = cluster.device.fp8_peak;
  gpu.memory = cluster.device.memory;
  gpu.memory_bandwidth = cluster.device.memory_bandwidth;
  if (!cluster.peers_over_pcie) gpu.scale_up = cluster.intra_node;
  gpu.pcie = cluster.pcie;
  SystemSpec& system = target.system;
  system.name = system.title = cluster.name;
  system.gpus_per_node = cluster.devices_per_node;
  system.nics = cluster.devices_per_node / cluster.devices_per_nic;
  system.gpus_per_pcie_switch = cluster.devices_per_pcie_switch;
  system.scale_up_domain = cluster.scale_up_domain > 0 ? cluster.scale_up_domain : cluster.devices_per_node;
  system.nic_bandwidth = cluster.nic.bandwidth * cluster.devices_per_nic;
  system.host_memory = cluster.host_memory;
  system.host_memory_bandwidth = cluster.host_memory_bandwidth;
  system.host_cores = cluster.host_cores;
  system.nvme = cluster.nvme;
  system.nvme_read = cluster.nvme_read;
  system.nvme_write = cluster.nvme_write;
  target.fabric.name = cluster.fabric;
  target.fabric.bandwidth = cluster.nic.bandwidth;
  target.fabric.latency = cluster.nic.latency;
  target.fabric.efficiency = cluster.nic_efficiency;
  target.fabric.oversubscription = cluster.oversubscription;
  target.fabric.rail_optimised = cluster.rail_optimised;
  target.fabric.reduces = cluster.network_reduces;
  return target;
}

}  // namespace shardscope
