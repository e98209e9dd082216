// shardscope hardware: the catalog of GPUs, systems and networks, or one entry with its sources.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/text_table.h"
#include "core/spec/hardware.h"
#include "simulator/analytic/constants.h"

namespace shardscope::cli {
namespace {

using Json = nlohmann::ordered_json;
constexpr double kGiB = 1024.0 * 1024 * 1024, kGB = 1e9, kTera = 1e12, kGigabit = 1e9 / 8;

struct Options {
  std::string name, file;
  std::vector<std::string> sets;
  bool json = false;
};

double peak(const GpuSpec& gpu, Arithmetic arithmetic) {
  return gpu.peak[static_cast<std::size_t>(arithmetic)].value / kTera;
}

/// "-" for what there is not.
std::string number(double value, int digits = 0) { return value == 0 ? "-" : fmt::format("{:.{}f}", value, digits); }

Json sources_json(const Sources& sources) {
  Json out = Json::object();
  for (const auto& [key, source] : sources) out[key] = source;
  return out;
}

Json link_json(const LinkSpec& link) {
  return {{"gb_per_s", link.bandwidth.value / kGB}, {"latency_us", link.latency.value * 1e6}};
}

// The keys are those of the files, so that a piece of the output is a piece of a file.
Json entry_json(const GpuSpec& gpu) {
  Json peaks = Json::object();
  for (int a = 0; a < kArithmetics; ++a) {
    const auto arithmetic = static_cast<Arithmetic>(a);
    if (peak(gpu, arithmetic) > 0) peaks[std::string(to_string(arithmetic))] = peak(gpu, arithmetic);
  }
  return {{"title", gpu.title},
          {"aliases", gpu.aliases},
          {"vendor", gpu.vendor},
          {"architecture", gpu.architecture},
          {"multiprocessors", gpu.multiprocessors},
          {"boost_ghz", gpu.boost_ghz},
          {"peak_tflops", peaks},
          {"vector_fp32_tflops", gpu.vector_fp32.value / kTera},
          {"memory_gib", gpu.memory.value / kGiB},
          {"l2_mib", gpu.l2.value / kGiB * 1024},
          {"memory_gb_per_s", gpu.memory_bandwidth.value / kGB},
          {"scale_up", link_json(gpu.scale_up)},
          {"switch_reduces", gpu.switch_reduces},
          {"pcie", link_json(gpu.pcie)},
          {"tdp_watts", gpu.tdp_watts},
          {"usd_per_hour", gpu.price_per_hour},
          {"reserved_usd_per_hour", gpu.reserved_price_per_hour},
          {"price_date", gpu.price_date},
          {"sources", sources_json(gpu.sources)}};
}

Json entry_json(const SystemSpec& system) {
  Json nvme = {{"capacity_tb", system.nvme.value / 1e12}};
  if (system.nvme.value > 0) {
    nvme["read_gb_per_s"] = system.nvme_read.value / kGB;
    nvme["write_gb_per_s"] = system.nvme_write.value / kGB;
  }
  return {{"title", system.title},
          {"aliases", system.aliases},
          {"gpu", system.gpu},
          {"gpus_per_node", system.gpus_per_node},
          {"scale_up_domain", system.scale_up_domain},
          {"scale_up_switched", system.scale_up_switched},
          {"nics", system.nics},
          {"gpus_per_pcie_switch", system.gpus_per_pcie_switch},
          {"nic_gbit_per_s", system.nic_bandwidth.value / kGigabit},
          {"fabric", system.fabric},
          {"host",
           {{"cpu", system.host_cpu},
            {"cores", system.host_cores},
            {"memory_gib", system.host_memory.value / kGiB},
            {"memory_gb_per_s", system.host_memory_bandwidth.value / kGB}}},
          {"nvme", nvme},
          {"node_watts", system.node_watts},
          {"usd_per_hour", system.price_per_hour},
          {"reserved_usd_per_hour", system.reserved_price_per_hour},
          {"price_date", system.price_date},
          {"sources", sources_json(system.sources)}};
}

double efficiency_of(const FabricSpec& fabric) {
  return fabric.efficiency > 0 ? fabric.efficiency : fabric_constants(default_constants(), fabric.name).efficiency;
}

Json entry_json(const FabricSpec& fabric) {
  Json sources = sources_json(fabric.sources);
  if (fabric.efficiency <= 0) sources["efficiency"] = "data/calibration/constants.csv";
  return {{"title", fabric.title},
          {"aliases", fabric.aliases},
          {"gbit_per_s", fabric.bandwidth.value / kGigabit},
          {"latency_us", fabric.latency.value * 1e6},
          {"efficiency", efficiency_of(fabric)},
          {"oversubscription", fabric.oversubscription},
          {"rail_optimised", fabric.rail_optimised},
          {"reduces", fabric.reduces},
          {"sources", sources}};
}

template <class Spec>
Json section_json(const std::vector<Spec>& entries) {
  Json out = Json::object();
  for (const Spec& entry : entries) out[entry.name] = entry_json(entry);
  return out;
}

void print_json(const Json& json) {
  fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void print_gpus(const HardwareCatalog& catalog) {
  TextTable table({"GPU", "bf16 TF/s", "fp8", "fp32", "GiB", "GB/s", "NVLink", "PCIe", "W", "USD/h", "reserved", "of"});
  for (const GpuSpec& gpu : catalog.gpus) {
    const double half = peak(gpu, peak(gpu, Arithmetic::kBf16) > 0 ? Arithmetic::kBf16 : Arithmetic::kFp16);
    table.add({gpu.name, number(half), number(peak(gpu, Arithmetic::kFp8)), number(gpu.vector_fp32.value / kTera, 1),
               number(gpu.memory.value / kGiB), number(gpu.memory_bandwidth.value / kGB),
               number(gpu.scale_up.bandwidth.value / kGB), number(gpu.pcie.bandwidth.value / kGB),
               number(gpu.tdp_watts), number(gpu.price_per_hour, 2), number(gpu.reserved_price_per_hour, 2),
               gpu.price_date});
  }
  fmt::print("GPUs: dense peaks (fp16 where there is no bf16), links one way in GB/s, prices per GPU\n\n{}\n",
             table.text());
}

void print_systems(const HardwareCatalog& catalog) {
  TextTable table({"system", "GPU", "fabric", "GPUs", "joined", "NICs", "Gbit/s", "cores", "host GiB", "NVMe TB",
                   "node W", "USD/h"},
                  3);
  for (const SystemSpec& system : catalog.systems) {
    table.add({system.name, system.gpu, system.fabric, fmt::to_string(system.gpus_per_node),
               fmt::to_string(system.scale_up_domain), fmt::to_string(system.nics),
               number(system.nic_bandwidth.value / kGigabit), fmt::to_string(system.host_cores),
               number(system.host_memory.value / kGiB), number(system.nvme.value / 1e12, 1), number(system.node_watts),
               number(price_of(catalog, system).on_demand, 2)});
  }
  fmt::print("Systems: a node; joined: GPUs of one NVLink or xGMI domain; node W: without the GPUs\n\n{}\n",
             table.text());
}

void print_fabrics(const HardwareCatalog& catalog) {
  TextTable table({"fabric", "Gbit/s", "latency us", "efficiency", "reduces"});
  for (const FabricSpec& fabric : catalog.fabrics) {
    table.add({fabric.name, number(fabric.bandwidth.value / kGigabit), number(fabric.latency.value * 1e6, 1),
               number(efficiency_of(fabric), 2), fabric.reduces ? "yes" : "-"});
  }
  fmt::print("Networks\n\n{}", table.text());
}

/// One key a line, and what it rests on beside it.
template <class Spec>
void print_entry(const char* kind, const Spec& spec) {
  fmt::print("{} {}: {}\n", kind, spec.name, printable(spec.title));
  if (!spec.aliases.empty()) fmt::print("also {}\n", printable(fmt::format("{}", fmt::join(spec.aliases, ", "))));
  fmt::print("\n");
  TextTable table({"key", "value", "source"}, 3);
  const Json entry = entry_json(spec);
  for (const auto& [key, value] : entry.items()) {
    if (key == "title" || key == "aliases" || key == "sources") continue;
    if (value == "" || (value == 0 && key.ends_with("usd_per_hour"))) continue;  // a system at its GPU's price
    std::string text = value.is_string() ? value.template get<std::string>() : value.dump();
    if (value.is_number_float()) text = fmt::format("{:.6g}", value.template get<double>());
    const auto source = spec.sources.find(key);
    table.add({key, text, source == spec.sources.end() ? "" : source->second});
  }
  fmt::print("{}", table.text());
}

template <class Spec>
void show(const Options& options, const char* kind, const Spec& spec) {
  if (!options.json) return print_entry(kind, spec);
  Json out = {{"kind", kind}, {"name", spec.name}};
  out.update(entry_json(spec));
  print_json(out);
}

template <class Spec>
bool is_key_of(const std::vector<Spec>& entries, std::string_view name) {
  return std::any_of(entries.begin(), entries.end(), [&](const Spec& entry) { return entry.name == name; });
}

/// A key is what it is the key of; other names may mean a GPU, then a system, then a network.
void show_named(const HardwareCatalog& catalog, const Options& options) {
  const std::string& name = options.name;
  if (is_key_of(catalog.systems, name)) return show(options, "system", find_system(catalog, name));
  if (is_key_of(catalog.fabrics, name)) return show(options, "fabric", find_fabric(catalog, name));
  if (names_gpu(catalog, name)) return show(options, "gpu", find_gpu(catalog, name));
  if (names_fabric(catalog, name)) return show(options, "fabric", find_fabric(catalog, name));
  show(options, "system", find_system(catalog, name));
}

void run(const Options& options) {
  HardwareCatalog catalog = default_catalog();
  if (!options.file.empty()) overlay(catalog, options.file);
  if (options.name.empty() && !options.sets.empty()) {
    throw Error(ErrorKind::kConfig, "hardware: --set changes what one system consists of; name it first");
  }
  for (const std::string& set : options.sets) set_field(catalog, options.name, set);
  if (!options.name.empty()) return show_named(catalog, options);
  if (options.json) {
    return print_json({{"gpus", section_json(catalog.gpus)},
                       {"systems", section_json(catalog.systems)},
                       {"fabrics", section_json(catalog.fabrics)}});
  }
  print_gpus(catalog);
  print_systems(catalog);
  print_fabrics(catalog);
}

}  // namespace

void add_hardware(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("hardware", "The catalog of GPUs, systems and networks, with sources.");
  command->add_option("name", options->name, "A GPU, system or network to show, however it is written");
  command->add_option("--file", options->file, "A file that adds entries or overrides keys (docs/hardware.md)")
      ->type_name("USER.json");
  command->add_option("--set", options->sets, "One number of the named system or GPU: gpu.memory_gib=96")
      ->type_name("PART.KEY=VALUE");
  command->add_flag("--json", options->json, "JSON with the keys and units of the files");
  command->footer(
      "Examples:\n"
      "  shardscope hardware\n"
      "  shardscope hardware 'NVIDIA H100 80GB HBM3'\n"
      "  shardscope hardware dgx-h100 --file my_prices.json --json\n"
      "  shardscope hardware h100-sxm --set gpu.usd_per_hour=2.1\n"
      "A system and a number of GPUs is a cluster: shardscope predict ... --cluster dgx-h100:32\n");
  command->callback([options, &exit_code] {
    run(*options);
    exit_code = kDone;
  });
}

}  // namespace shardscope::cli
