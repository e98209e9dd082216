// Finding entries of the catalog, and clusters made of them.

#include "core/spec/hardware.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <numeric>

#include "core/check.h"
#include "core/error.h"
#include "core/spec/hardware_names.h"
#include "core/spec/json_reader.h"

namespace shardscope {
namespace {

constexpr int kMostGpus = 1 << 24;
constexpr std::size_t kMostNear = 4;

constexpr std::array<std::string_view, kArithmetics> kArithmeticNames = {"fp64", "fp32", "tf32", "fp16",
                                                                         "bf16", "fp8",  "int8", "fp4"};
// Dropped from names: "NVIDIA Tesla V100-SXM2-32GB" is "V100-SXM2-32GB".
constexpr std::string_view kMakers[] = {"nvidia", "amd", "tesla", "instinct", "geforce", "microsoft", "google"};

std::size_t common_beginning(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

/// Keys of the entries that are called nearly so: slips of the pen, then names that begin most like it.
template <class Spec>
std::vector<std::string> near_keys(const std::vector<Spec>& entries, std::string_view name) {
  std::vector<std::string> texts, keys, near;
  const auto add = [&](const std::string& text, const std::string& key) {
    texts.push_back(same_name(text));
    keys.push_back(key);
  };
  for (const Spec& entry : entries) {
    add(entry.name, entry.name);
    add(entry.title, entry.name);
    for (const std::string& alias : entry.aliases) add(alias, entry.name);
  }
  const auto offer = [&](std::size_t i) {
    const bool listed = std::find(near.begin(), near.end(), keys[i]) != near.end();
    if (!listed && near.size() < kMostNear) near.push_back(keys[i]);
  };
  const std::string wanted = same_name(name);
  for (std::size_t i : nearest_places(wanted, {texts.begin(), texts.end()})) offer(i);
  std::size_t best = 3;  // shorter likeness is chance
  for (const std::string& text : texts) best = std::max(best, common_beginning(wanted, text));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (common_beginning(wanted, texts[i]) >= best) offer(i);
  }
  return near;
}

template <class Spec>
std::vector<std::string> all_keys(const std::vector<Spec>& entries) {
  std::vector<std::string> keys;
  for (const Spec& entry : entries) keys.push_back(entry.name);
  return keys;
}

[[noreturn]] void refuse_name(const char* kind, std::string_view name, const std::vector<std::string>& near,
                              const std::vector<std::string>& all) {
  const std::string which = near.empty() ? "there are " : "did you mean ";
  throw Error(ErrorKind::kConfig,
              fmt::format("the catalog has no {} \"{}\"; {}{}{}", kind, printable(name), which,
                          fmt::join(near.empty() ? all : near, near.empty() ? ", " : " or "), near.empty() ? "" : "?"));
}

template <class Spec>
const Spec& find_entry(const std::vector<Spec>& entries, const char* kind, std::string_view name) {
  if (const Spec* entry = lookup(entries, name)) return *entry;
  refuse_name(kind, name, near_keys(entries, name), all_keys(entries));
}

/// A value on the command line: JSON if it is a number, true or false; else text.
std::string json_value(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool plain = (error == std::errc() && end == text.data() + text.size()) || text == "true" || text == "false";
  return plain ? std::string(text) : to_json_text(json_string(std::string(text)));
}

std::string json_key(std::string_view key) { return to_json_text(json_string(std::string(key))); }

}  // namespace

std::string_view to_string(Arithmetic arithmetic) { return kArithmeticNames.at(static_cast<std::size_t>(arithmetic)); }

std::string same_name(std::string_view name) {
  std::string out;
  for (const char c : name.substr(0, 200)) {
    if (c >= 'A' && c <= 'Z') out += static_cast<char>(c - 'A' + 'a');
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) out += c;
  }
  for (const std::string_view maker : kMakers) {
    const std::size_t at = out.find(maker);
    if (at != std::string::npos && out.size() > maker.size()) out.erase(at, maker.size());
  }
  return out;
}

const GpuSpec& find_gpu(const HardwareCatalog& catalog, std::string_view name) {
  return find_entry(catalog.gpus, "GPU", name);
}

const FabricSpec& find_fabric(const HardwareCatalog& catalog, std::string_view name) {
  return find_entry(catalog.fabrics, "fabric", name);
}

bool names_gpu(const HardwareCatalog& catalog, std::string_view name) { return lookup(catalog.gpus, name) != nullptr; }

bool names_fabric(const HardwareCatalog& catalog, std::string_view name) {
  return lookup(catalog.fabrics, name) != nullptr;
}

const SystemSpec& find_system(const HardwareCatalog& catalog, std::string_view name) {
  if (const SystemSpec* system = lookup(catalog.systems, name)) return *system;
  if (const GpuSpec* gpu = lookup(catalog.gpus, name)) {
    for (const SystemSpec& system : catalog.systems) {
      if (system.gpu == gpu->name) return system;
    }
    throw Error(ErrorKind::kConfig, fmt::format("the catalog has no system with the GPU {}; add one in a file of your "
                                                "own (docs/hardware.md)",
                                                gpu->name));
  }
  std::vector<std::string> near = near_keys(catalog.systems, name);
  for (std::string& key : near_keys(catalog.gpus, name)) near.push_back(std::move(key));
  refuse_name("system or GPU", name, near, all_keys(catalog.systems));
}

void set_field(HardwareCatalog& catalog, std::string_view system, std::string_view assignment) {
  const auto fail = [&](const std::string& what) {
    throw Error(ErrorKind::kConfig, fmt::format("--set {}: {}", printable(assignment), what));
  };
  const std::size_t equals = assignment.find('='), dot = assignment.find('.');
  if (equals == std::string_view::npos || dot == std::string_view::npos || dot > equals) {
    fail("it must be PART.KEY=VALUE, such as gpu.memory_gib=96");
  }
  const SystemSpec& chosen = find_system(catalog, system);
  const std::string_view part = assignment.substr(0, dot);
  std::string section, entry;
  if (part == "gpu") section = "gpus", entry = chosen.gpu;
  if (part == "system") section = "systems", entry = chosen.name;
  if (part == "fabric") section = "fabrics", entry = chosen.fabric;
  if (section.empty()) fail("it must begin with gpu., system. or fabric.");
  std::string text = json_value(assignment.substr(equals + 1));
  std::string_view path = assignment.substr(dot + 1, equals - dot - 1);
  for (std::size_t cut = path.rfind('.'); !path.empty(); cut = path.rfind('.')) {
    const bool last = cut == std::string_view::npos;
    text = "{" + json_key(last ? path : path.substr(cut + 1)) + ": " + text + "}";
    path = last ? std::string_view() : path.substr(0, cut);
  }
  overlay_text(catalog, "{" + json_key(section) + ": {" + json_key(entry) + ": " + text + "}}", "--set");
}

Arithmetic arithmetic_of(DType dtype) {
  const auto* const entry = std::ranges::find(kTensorPeaks, dtype, &std::pair<DType, Arithmetic>::first);
  return entry == std::end(kTensorPeaks) ? Arithmetic::kFp32 : entry->second;
}

GpuPrice price_of(const HardwareCatalog& catalog, const SystemSpec& system) {
  const GpuSpec& gpu = find_gpu(catalog, system.gpu);
  const bool own = system.price_per_hour > 0;
  GpuPrice price{
      own ? system.price_per_hour : gpu.price_per_hour,
      own || system.reserved_price_per_hour > 0 ? system.reserved_price_per_hour : gpu.reserved_price_per_hour,
      own ? system.price_date : gpu.price_date};
  if (price.reserved <= 0) price.reserved = price.on_demand;
  return price;
}

ClusterSpec make_cluster(const HardwareCatalog& catalog, const SystemSpec& system, int gpus) {
  const GpuSpec& gpu = find_gpu(catalog, system.gpu);
  const FabricSpec& fabric = find_fabric(catalog, system.fabric);
  const int per_node = system.gpus_per_node;
  if (gpus < 1 || gpus > kMostGpus || (gpus > per_node && gpus % per_node != 0)) {
    throw Error(ErrorKind::kConfig,
                fmt::format("{}: {} GPUs; it must be at most {}, or a multiple of that up to {}: whole nodes",
                            system.name, gpus, per_node, kMostGpus));
  }
  ClusterSpec cluster;
  cluster.name = fmt::format("{}:{}", system.name, gpus);
  cluster.nodes = gpus > per_node ? gpus / per_node : 1;
  cluster.devices_per_node = std::min(gpus, per_node);
  cluster.device = {.name = gpu.title,
                    .fp8_peak = gpu.peak[static_cast<std::size_t>(Arithmetic::kFp8)],
                    .memory = gpu.memory,
                    .memory_bandwidth = gpu.memory_bandwidth,
                    .architecture = gpu.architecture,
                    .multiprocessors = gpu.multiprocessors,
                    .switch_reduces = gpu.switch_reduces && system.scale_up_switched};
  for (const auto& [dtype, arithmetic] : kTensorPeaks) {
    cluster.device.peak_flops[static_cast<std::size_t>(dtype)] = gpu.peak[static_cast<std::size_t>(arithmetic)];
  }
  // A ring over GPUs of which only some are joined goes over PCIe.
  const bool joined = system.scale_up_domain >= cluster.devices_per_node && gpu.scale_up.bandwidth.value > 0;
  cluster.intra_node = joined ? gpu.scale_up : gpu.pcie;
  cluster.scale_up_domain = joined ? std::min(system.scale_up_domain, gpus) : cluster.devices_per_node;
  cluster.peers_over_pcie = !joined;
  cluster.pcie = gpu.pcie;
  cluster.devices_per_pcie_switch = std::gcd(system.gpus_per_pcie_switch, cluster.devices_per_node);
  cluster.devices_per_nic = cluster.nodes > 1 ? per_node / std::gcd(per_node, system.nics) : 1;
  cluster.nic = {.bandwidth = system.nic_bandwidth * system.nics / per_node, .latency = fabric.latency};
  cluster.fabric = fabric.name;
  cluster.nic_efficiency = fabric.efficiency;
  cluster.oversubscription = fabric.oversubscription;
  cluster.rail_optimised = fabric.rail_optimised;
  cluster.network_reduces = fabric.reduces;
  cluster.host_memory = system.host_memory;
  cluster.host_memory_bandwidth = system.host_memory_bandwidth;
  cluster.host_cores = system.host_cores;
  cluster.nvme = system.nvme;
  cluster.nvme_read = system.nvme_read;
  cluster.nvme_write = system.nvme_write;
  return cluster;
}

bool names_catalog_cluster(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || text.find('/') != std::string_view::npos) return false;
  const std::string_view count = text.substr(colon + 1);
  return !count.empty() && count.find_first_not_of("0123456789") == std::string_view::npos;
}

ClusterSpec load_cluster(const HardwareCatalog& catalog, const std::string& file_or_system) {
  std::error_code code;
  if (std::filesystem::exists(file_or_system, code)) return load_cluster(file_or_system);
  if (names_catalog_cluster(file_or_system)) {
    const std::size_t colon = file_or_system.rfind(':');
    int gpus = 0;  // too large a number stays 0
    std::from_chars(file_or_system.data() + colon + 1, file_or_system.data() + file_or_system.size(), gpus);
    return make_cluster(catalog, find_system(catalog, std::string_view(file_or_system).substr(0, colon)), gpus);
  }
  if (const std::size_t colon = file_or_system.rfind(':');
      colon != std::string::npos &&
      lookup(catalog.systems, std::string_view(file_or_system).substr(0, colon)) != nullptr) {
    throw Error(ErrorKind::kConfig,
                fmt::format("cluster {}: \"{}\" is no number of GPUs; write {}:8", printable(file_or_system),
                            printable(file_or_system.substr(colon + 1)), file_or_system.substr(0, colon)));
  }
  if (lookup(catalog.systems, file_or_system) != nullptr || lookup(catalog.gpus, file_or_system) != nullptr) {
    throw Error(ErrorKind::kConfig, fmt::format("cluster {}: how many GPUs? Write {}:{}", file_or_system,
                                                file_or_system, find_system(catalog, file_or_system).gpus_per_node));
  }
  return load_cluster(file_or_system);
}

}  // namespace shardscope
