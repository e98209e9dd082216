#pragma once
// The hardware catalog: GPUs, the systems they are sold in and the networks between, from data/hardware (built into the
// program). Figures are those of data sheets, dense, one way; what each rests on lies beside it (sources).
//
//   const HardwareCatalog catalog = default_catalog();
//   const SystemSpec& system = find_system(catalog, "DGX H100");    // also "H100": a GPU's usual system
//   ClusterSpec cluster = make_cluster(catalog, system, 32);

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/spec/cluster_spec.h"
#include "core/units.h"

namespace shardscope {

/// What a GPU's peaks are named by; the formats a program's tensors have are DType.
enum class Arithmetic : std::uint8_t { kFp64, kFp32, kTf32, kFp16, kBf16, kFp8, kInt8, kFp4 };
inline constexpr int kArithmetics = 8;
std::string_view to_string(Arithmetic arithmetic);  ///< "bf16"

/// The formats of a program's tensors that have a peak of their own, and which.
inline constexpr std::pair<DType, Arithmetic> kTensorPeaks[] = {{DType::kF32, Arithmetic::kFp32},
                                                                {DType::kBF16, Arithmetic::kBf16},
                                                                {DType::kF16, Arithmetic::kFp16},
                                                                {DType::kF64, Arithmetic::kFp64},
                                                                {DType::kI8, Arithmetic::kInt8}};
Arithmetic arithmetic_of(DType dtype);  ///< kFp32 for those that have none

/// Key of the JSON entry -> where its number is from.
using Sources = std::map<std::string, std::string>;

struct GpuSpec {
  std::string name;                  ///< catalog key, "h100-sxm"
  std::string title;                 ///< "NVIDIA H100 SXM 80 GB"
  std::vector<std::string> aliases;  ///< as tables and tools write it: "H100-80GB-SXM", "NVIDIA H100 80GB HBM3"
  std::string vendor, architecture;  ///< "nvidia", "hopper"
  int multiprocessors = 0;           ///< SMs or CUs
  double boost_ghz = 0;
  std::array<FlopPerSecond, kArithmetics> peak{};  ///< dense, tensor cores where there are; 0: not supported
  FlopPerSecond vector_fp32;                       ///< outside tensor cores
  Bytes memory;                                    ///< as the driver reports it: below what is printed on the box
  Bytes l2;                                        ///< last cache that all multiprocessors share
  BytesPerSecond memory_bandwidth;
  LinkSpec scale_up;            ///< NVLink/xGMI, one way per GPU; bandwidth 0: none (PCIe)
  bool switch_reduces = false;  ///< NVLink SHARP (Hopper NVSwitch and later)
  LinkSpec pcie;                ///< one way to the host (C2C for GH200/GB200)
  double tdp_watts = 0;
  double price_per_hour = 0, reserved_price_per_hour = 0;  ///< USD per GPU; 0: no price known
  std::string price_date;                                  ///< "2026-05"
  Sources sources;
};

struct SystemSpec {
  std::string name, title;
  std::vector<std::string> aliases;
  std::string gpu;  ///< its key
  int gpus_per_node = 8;
  int scale_up_domain = 8;        ///< GPUs joined by NVLink/xGMI; 72 in an NVL72; 1: PCIe only
  bool scale_up_switched = true;  ///< all-to-all at full speed (NVSwitch); false: a mesh or pairs
  int nics = 8;                   ///< of a node
  int gpus_per_pcie_switch = 1;   ///< that share one link to the host
  BytesPerSecond nic_bandwidth;   ///< each, one way
  std::string fabric;             ///< key of fabrics.json
  Bytes host_memory;
  BytesPerSecond host_memory_bandwidth;
  int host_cores = 0;
  std::string host_cpu;
  Bytes nvme;  ///< of a node; 0: none
  BytesPerSecond nvme_read, nvme_write;
  double node_watts = 0;                                   ///< without the GPUs
  double price_per_hour = 0, reserved_price_per_hour = 0;  ///< USD per GPU; 0: the GPU's
  std::string price_date;
  Sources sources;
};

struct FabricSpec {
  std::string name, title;
  std::vector<std::string> aliases;
  BytesPerSecond bandwidth;     ///< of a port, one way
  Seconds latency;              ///< of a small message between two nodes, NIC to NIC
  double efficiency = 0;        ///< share of the line rate that large messages reach; 0: constants.csv's
  double oversubscription = 1;  ///< line rate of the nodes over that of the core
  bool rail_optimised = true;   ///< GPU i of every node on the same leaf switch
  bool reduces = false;         ///< SHARP
  Sources sources;
};

struct HardwareCatalog {
  std::vector<GpuSpec> gpus;
  std::vector<SystemSpec> systems;
  std::vector<FabricSpec> fabrics;
};

HardwareCatalog default_catalog();  ///< what data/hardware held when the program was built
HardwareCatalog load_catalog(const std::string& folder);

/// A file of the same form as those of data/hardware adds entries or overrides keys of them ({"gpus": {"h100-sxm":
/// {"usd_per_hour": 2}}}). Throws Error with file, line, key and what would be right.
void overlay(HardwareCatalog& catalog, const std::string& user_file);
void overlay_text(HardwareCatalog& catalog, std::string_view json_text, const std::string& file_name);

/// By key, title or alias, whatever its case and punctuation, with or without the maker's name. Error{kConfig} lists
/// the nearest names. The result lives in `catalog`.
const GpuSpec& find_gpu(const HardwareCatalog& catalog, std::string_view name);
const SystemSpec& find_system(const HardwareCatalog& catalog, std::string_view name);  ///< a GPU's: its usual system
const FabricSpec& find_fabric(const HardwareCatalog& catalog, std::string_view name);
bool names_gpu(const HardwareCatalog& catalog, std::string_view name);
bool names_fabric(const HardwareCatalog& catalog, std::string_view name);
const GpuSpec& find_gpu(HardwareCatalog&&, std::string_view) = delete;
const SystemSpec& find_system(HardwareCatalog&&, std::string_view) = delete;
const FabricSpec& find_fabric(HardwareCatalog&&, std::string_view) = delete;

/// "gpu.memory_gib=96", "system.nics=4", "fabric.latency_us=3", "gpu.pcie.gb_per_s=32": one number of what `system`
/// consists of, by its key in the JSON files.
void set_field(HardwareCatalog& catalog, std::string_view system, std::string_view assignment);

/// USD per GPU and hour: the system's own price, or its GPU's.
struct GpuPrice {
  double on_demand = 0, reserved = 0;
  std::string date;
};
GpuPrice price_of(const HardwareCatalog& catalog, const SystemSpec& system);

/// Whole nodes, or a part of one. For the event-level simulator.
ClusterSpec make_cluster(const HardwareCatalog& catalog, const SystemSpec& system, int gpus);

/// A cluster file, or "SYSTEM:GPUS" of the catalog ("dgx-h100:32").
bool names_catalog_cluster(std::string_view text);  ///< of the second form
ClusterSpec load_cluster(const HardwareCatalog& catalog, const std::string& file_or_system);

}  // namespace shardscope
