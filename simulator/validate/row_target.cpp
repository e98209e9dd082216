#include "simulator/validate/row_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/error.h"
#include "simulator/validate/row_text.h"

namespace shardscope {
namespace {

constexpr double kGigabit = 1e9 / 8;
/// What texts call networks, and how the catalog's fabrics of that kind begin.
constexpr std::pair<std::string_view, std::string_view> kKinds[] = {
    {"efa", "efa"},   {"roce", "roce"}, {"infiniband", "ib-"}, {" ib ", "ib-"},
    {"tcpx", "gcp-"}, {"hdr", "ib-"},   {"ndr", "ib-"},        {"slingshot", "slingshot"},
};

template <class Find>
auto if_any(Find find) -> std::optional<std::decay_t<decltype(find())>> {
  try {
    return find();
  } catch (const Error&) {
    return std::nullopt;
  }
}

GpuSpec gpu_of(const PublishedRun& run, const HardwareCatalog& catalog) {
  const auto plain = if_any([&] { return find_gpu(catalog, without_parentheses(run.gpu)); });
  const auto exact = if_any([&] { return find_gpu(catalog, run.gpu); });
  if (exact) return *exact;
  return plain ? *plain : find_gpu(catalog, run.gpu);  // throws, with the near names
}

/// The start of the names of fabrics of the kind that the text speaks of; empty: it does not say.
std::string_view fabric_kind(const std::string& text) {
  for (const auto& [word, prefix] : kKinds) {
    if (holds_word(" " + text + " ", word)) return prefix;
  }
  return {};
}

/// The system that the text names; else one with this GPU and such a fabric; else the GPU's usual one.
SystemSpec system_of(const PublishedRun& run, const GpuSpec& gpu, const HardwareCatalog& catalog) {
  for (const std::string& text : {run.interconnect, without_parentheses(run.interconnect)}) {
    const auto named = if_any([&] { return find_system(catalog, text); });
    if (named && named->gpu == gpu.name) return *named;
  }
  const std::string_view kind = fabric_kind(run.interconnect);
  for (const SystemSpec& system : catalog.systems) {
    if (!kind.empty() && system.gpu == gpu.name && system.fabric.starts_with(kind)) return system;
  }
  return find_system(catalog, gpu.name);
}

struct LineRate {
  int nics = 0;  ///< 0: not said
  double per_nic = 0;
};

/// "8x 200 Gb/s" and "1600 Gbps", a node's.
LineRate rate_of(const std::string& text, int nics) {
  for (const std::string_view unit : {" Gb/s", " Gbps", " Gbit/s", "Gbps", "Gb/s"}) {
    const auto rate = number_before(text, unit);
    if (!rate || *rate <= 0) continue;
    const auto count = number_before(text, "x ");
    if (count && *count >= 1 && *count <= 64) return {static_cast<int>(*count), *rate * kGigabit};
    return {nics, *rate * kGigabit / nics};
  }
  return {};
}

FabricSpec fabric_of(const PublishedRun& run, const SystemSpec& system, const HardwareCatalog& catalog) {
  const std::string_view kind = fabric_kind(run.interconnect);
  if (kind.empty() || system.fabric.starts_with(kind)) return find_fabric(catalog, system.fabric);
  const FabricSpec* best = nullptr;  // of that kind, the one whose ports are nearest to the NICs
  const auto gap = [&](const FabricSpec& f) {
    return std::abs(std::log(f.bandwidth.value / system.nic_bandwidth.value));
  };
  for (const FabricSpec& fabric : catalog.fabrics) {
    if (fabric.name.starts_with(kind) && (best == nullptr || gap(fabric) < gap(*best))) best = &fabric;
  }
  return best != nullptr ? *best : find_fabric(catalog, system.fabric);
}

/// Nodes with another number of GPUs have as many NICs for each.
void resize_nodes(SystemSpec& system, int gpus) {
  if (gpus == system.gpus_per_node) return;
  const bool within_node = system.scale_up_domain <= system.gpus_per_node;
  system.nics = std::max(1, static_cast<int>(std::lround(1.0 * system.nics * gpus / system.gpus_per_node)));
  if (within_node && system.scale_up_domain > 1) system.scale_up_domain = gpus;
  system.gpus_per_node = gpus;
}

}  // namespace

RowTarget target_of(const PublishedRun& run, const HardwareCatalog& catalog) {
  RowTarget row;
  Target& target = row.target;
  target.gpu = gpu_of(run, catalog);
  target.system = system_of(run, target.gpu, catalog);
  if (run.gpus_per_node) resize_nodes(target.system, static_cast<int>(*run.gpus_per_node));
  if (!run.gpus_per_node) row.assumed.push_back(fmt::format("gpus_per_node: {}", target.system.gpus_per_node));
  if (run.interconnect.empty()) row.assumed.push_back("interconnect: as in " + target.system.name);
  if (holds_word(run.interconnect, "pcie")) target.system.scale_up_domain = 1;
  if (const LineRate rate = rate_of(run.interconnect, target.system.nics); rate.nics > 0) {
    target.system.nics = rate.nics;
    target.system.nic_bandwidth = BytesPerSecond(rate.per_nic);
  }
  target.fabric = fabric_of(run, target.system, catalog);
  return row;
}

}  // namespace shardscope
