// Reads a cluster file. The unit of every number is in its key's name; GB is 1e9 bytes, GiB 2^30, bandwidths one way.

#include "core/spec/cluster_spec.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/spec/json_reader.h"

namespace shardscope {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024, kGB = 1e9, kTB = 1e12, kGigabit = 1e9 / 8;
constexpr RealRange kPositive{0, 1e30, true};
constexpr RealRange kLatency{0, 1e9};

const std::vector<std::string_view> kClusterKeys = {"name",
                                                    "source",
                                                    "nodes",
                                                    "devices_per_node",
                                                    "devices_per_nic",
                                                    "devices_per_pcie_switch",
                                                    "device",
                                                    "intra_node",
                                                    "pcie",
                                                    "nic",
                                                    "host",
                                                    "nvme"};
const std::vector<std::string_view> kDeviceKeys = {"name", "memory_gib", "memory_gb_per_s", "peak_tflops"};
const std::vector<std::string_view> kLinkKeys = {"name", "gb_per_s", "gbit_per_s", "latency_us"};
const std::vector<std::string_view> kHostKeys = {"name", "memory_gib", "memory_gb_per_s", "cores"};
const std::vector<std::string_view> kNvmeKeys = {"name", "capacity_tb", "read_gb_per_s", "write_gb_per_s"};

struct DTypeName {
  std::string_view name;
  DType dtype;
};
constexpr DTypeName kDTypeNames[] = {
    {"fp32", DType::kF32}, {"bf16", DType::kBF16}, {"fp16", DType::kF16}, {"fp64", DType::kF64}, {"int8", DType::kI8}};

JsonReader required(const JsonReader& cluster, std::string_view key, const std::string& why) {
  const auto block = cluster.object(key);
  if (!block) cluster.fail(key, fmt::format("is missing; {}", why));
  return *block;
}

/// {"gb_per_s": 450, "latency_us": 2} or, as network cards are sold, {"gbit_per_s": 400, ...}.
LinkSpec read_link(const JsonReader& link) {
  link.refuse_unknown(kLinkKeys);
  if (link.has("gb_per_s") == link.has("gbit_per_s")) {
    link.fail("gb_per_s", "or gbit_per_s must be there, and not both: gigabytes or gigabits per second, one way");
  }
  LinkSpec spec;
  spec.bandwidth = link.has("gb_per_s") ? BytesPerSecond(link.real("gb_per_s", kPositive) * kGB)
                                        : BytesPerSecond(link.real("gbit_per_s", kPositive) * kGigabit);
  spec.latency = microseconds(link.real("latency_us", kLatency));
  return spec;
}

DeviceSpec read_device(const JsonReader& device) {
  device.refuse_unknown(kDeviceKeys);
  DeviceSpec spec;
  spec.name = printable(device.text("name", "device"));
  spec.memory = Bytes(device.real("memory_gib", kPositive) * kGiB);
  spec.memory_bandwidth = BytesPerSecond(device.real("memory_gb_per_s", kPositive) * kGB);
  const JsonReader peaks =
      required(device, "peak_tflops", "it must be an object such as {\"bf16\": 989, \"fp32\": 67}");
  std::vector<std::string_view> names{"fp8"};
  for (const DTypeName& dtype : kDTypeNames) names.push_back(dtype.name);
  peaks.refuse_unknown(names);
  for (const DTypeName& dtype : kDTypeNames) {
    if (!peaks.has(dtype.name)) continue;
    spec.peak_flops[static_cast<std::size_t>(dtype.dtype)] = FlopPerSecond(peaks.real(dtype.name, kPositive) * 1e12);
  }
  if (peaks.has("fp8")) spec.fp8_peak = FlopPerSecond(peaks.real("fp8", kPositive) * 1e12);
  const bool has_any = std::ranges::any_of(kDTypeNames, [&](const DTypeName& dtype) { return peaks.has(dtype.name); });
  if (!has_any)
    device.fail("peak_tflops", "is empty, or has only fp8; it must have at least one of fp32, bf16, fp16, fp64, int8");
  return spec;
}

void read_host(const JsonReader& host, ClusterSpec& spec) {
  host.refuse_unknown(kHostKeys);
  spec.host_memory = Bytes(host.real("memory_gib", kPositive) * kGiB);
  spec.host_memory_bandwidth = BytesPerSecond(host.real("memory_gb_per_s", kPositive) * kGB);
  spec.host_cores = static_cast<int>(host.integer("cores", {1, 1 << 20}));
}

void read_nvme(const JsonReader& nvme, ClusterSpec& spec) {
  nvme.refuse_unknown(kNvmeKeys);
  spec.nvme = Bytes(nvme.real("capacity_tb", kPositive) * kTB);
  spec.nvme_read = BytesPerSecond(nvme.real("read_gb_per_s", kPositive) * kGB);
  spec.nvme_write = BytesPerSecond(nvme.real("write_gb_per_s", kPositive) * kGB);
}

}  // namespace

namespace {

/// Devices in a row that share something: they must fill a node.
int read_sharing(const JsonReader& cluster, std::string_view key, int devices_per_node) {
  const auto devices = static_cast<int>(cluster.integer(key, {1, 1024}, 1));
  if (devices_per_node % devices != 0) {
    cluster.fail(key, fmt::format("is {}; it must divide the {} devices of a node", devices, devices_per_node));
  }
  return devices;
}

}  // namespace

ClusterSpec parse_cluster(std::string_view json_text, const std::string& file_name) {
  const JsonNode root = parse_json(json_text, file_name);
  const JsonReader cluster(root, file_name, "");
  cluster.refuse_unknown(kClusterKeys);
  ClusterSpec spec;
  spec.name = printable(cluster.text("name", file_name));
  spec.nodes = static_cast<int>(cluster.integer("nodes", {1, 1 << 20}, 1));
  spec.devices_per_node = static_cast<int>(cluster.integer("devices_per_node", {1, 1024}, 1));
  if (std::int64_t{spec.nodes} * spec.devices_per_node > (1 << 24)) {
    cluster.fail("nodes", "times devices_per_node is more than 16777216; it must be smaller");
  }
  spec.devices_per_nic = read_sharing(cluster, "devices_per_nic", spec.devices_per_node);
  spec.devices_per_pcie_switch = read_sharing(cluster, "devices_per_pcie_switch", spec.devices_per_node);
  spec.device =
      read_device(required(cluster, "device", "it must be an object with memory_gib, memory_gb_per_s, peak_tflops"));
  spec.pcie = read_link(required(cluster, "pcie", "it must be an object with gb_per_s and latency_us"));
  if (spec.devices_per_node > 1 || cluster.has("intra_node")) {
    spec.intra_node =
        read_link(required(cluster, "intra_node", "a node of several devices needs the link between them"));
  }
  if (spec.nodes > 1 || cluster.has("nic")) {
    spec.nic = read_link(required(cluster, "nic", "several nodes need the network between them, per device"));
  }
  read_host(required(cluster, "host", "it must be an object with memory_gib, memory_gb_per_s, cores"), spec);
  if (const auto nvme = cluster.object("nvme")) read_nvme(*nvme, spec);
  return spec;
}

ClusterSpec load_cluster(const std::string& path) { return parse_cluster(read_text_file(path), path); }

}  // namespace shardscope
