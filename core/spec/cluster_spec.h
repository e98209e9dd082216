#pragma once
// What it runs on: nodes of devices and the links between them, read from JSON with units in the key names.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/program/types.h"
#include "core/units.h"

namespace shardscope {

struct LinkSpec {
  BytesPerSecond bandwidth;  ///< one way, per device
  Seconds latency;
};

struct DeviceSpec {
  std::string name;
  std::array<FlopPerSecond, kDTypes> peak_flops{};  ///< dense, by dtype of the inputs; 0: not supported
  FlopPerSecond fp8_peak;                           ///< of products, whose operands only are in fp8; 0: not supported
  Bytes memory;
  BytesPerSecond memory_bandwidth;
  std::string architecture;     ///< "hopper"; empty: not known
  int multiprocessors = 0;      ///< 0: not known
  bool switch_reduces = false;  ///< the links' switch sums
};

struct ClusterSpec {
  std::string name;
  int nodes = 1, devices_per_node = 1;
  DeviceSpec device;
  LinkSpec intra_node;              ///< NVLink, xGMI or PCIe between devices of a node
  int scale_up_domain = 0;          ///< devices in a row that intra_node joins: 72 in an NVL72 rack; 0: those of a node
  bool peers_over_pcie = false;     ///< intra_node is PCIe, through the host
  LinkSpec pcie;                    ///< device to host
  int devices_per_pcie_switch = 1;  ///< in a row, whose copies to and from the host share one link
  LinkSpec nic;                     ///< between nodes, per device: a fair share where several have one
  int devices_per_nic = 1;          ///< in a row, who share NICs with each other
  std::string fabric;               ///< its key in the hardware catalog; empty: not known
  double nic_efficiency = 0;        ///< share of the line rate that large messages reach; 0: that of its kind
  double oversubscription = 1;      ///< of the network's core: between nodes that share no leaf switch
  bool rail_optimised = false;      ///< device i of every node on the same leaf switch
  bool network_reduces = false;     ///< the network's switches sum
  Bytes host_memory;                ///< of a node
  BytesPerSecond host_memory_bandwidth;
  int host_cores = 0;
  Bytes nvme;  ///< of a node; 0: none
  BytesPerSecond nvme_read, nvme_write;
  int ranks() const { return nodes * devices_per_node; }
};

/// Throws Error with file, key and what would be right; every number must be positive and finite.
ClusterSpec load_cluster(const std::string& path);
ClusterSpec parse_cluster(std::string_view json_text, const std::string& file_name);

}  // namespace shardscope
