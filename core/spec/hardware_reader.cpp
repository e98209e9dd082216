// Reads the catalog's JSON files, which all have one form: {"gpus": {NAME: {...}}, "systems": ..., "fabrics": ...}.
// An entry that is there already is changed key by key; a new one must be complete, or be "like" one that is. The unit
// of every number is in its key's name; GB is 1e9 bytes, GiB 2^30, bandwidths one way.

#include <fmt/format.h>

#include <algorithm>

#include "core/embedded.h"
#include "core/error.h"
#include "core/spec/hardware.h"
#include "core/spec/hardware_names.h"
#include "core/spec/json_reader.h"

namespace shardscope {

std::span<const EmbeddedFile> embedded_hardware();  // generated from data/hardware

namespace {

constexpr double kMiB = 1024.0 * 1024, kGiB = 1024 * kMiB, kGB = 1e9, kTB = 1e12, kGigabit = 1e9 / 8, kTera = 1e12;
constexpr std::size_t kMostEntries = 1000, kMostAliases = 100;
constexpr RealRange kPositive{0, 1e6, true}, kNotNegative{0, 1e6};

const std::vector<std::string_view> kSections = {"about", "gpus", "systems", "fabrics"};

/// One entry's keys onto a spec: only those that are there, each with its source.
template <class Spec>
class EntryReader {
 public:
  EntryReader(const JsonReader& entry, Spec& spec) : entry_(entry), spec_(spec) {
    if (const auto sources = entry.object("sources")) {
      for (const auto& [key, node] : sources->node().members) {
        if (key != "*" && !entry.has(key)) sources->fail(key, "is the source of a key that is not there");
        if (!node.is_string()) sources->fail(key, "must be text: where the number is from, or \"guess: why\"");
      }
      sources_ = sources->node();
    }
  }

  void words(const char* key, std::string& out) {
    if (use(key)) out = printable(entry_.text(key), 200);
  }
  void number(const char* key, double& out, RealRange range) {
    if (use(key)) out = sourced(key).real(key, range);
  }
  void count(const char* key, int& out, IntegerRange range) {
    if (use(key)) out = static_cast<int>(sourced(key).integer(key, range));
  }
  void yes(const char* key, bool& out) {
    if (use(key)) out = sourced(key).boolean(key, false);
  }
  template <class Unit>
  void amount(const char* key, Unit& out, double scale, RealRange range = kPositive) {
    if (use(key)) out = Unit(sourced(key).real(key, range) * scale);
  }
  void link(const char* key, LinkSpec& out, RealRange bandwidth) {
    if (!use(key)) return;
    const JsonReader link = block(key);
    link.refuse_unknown({"name", "gb_per_s", "latency_us"});
    if (link.has("gb_per_s")) out.bandwidth = BytesPerSecond(link.real("gb_per_s", bandwidth) * kGB);
    if (link.has("latency_us")) out.latency = microseconds(link.real("latency_us", kNotNegative));
  }
  /// An object of its own, with one source for all that is in it.
  JsonReader block(const char* key) { return sourced(key).object(key).value(); }
  bool use(const char* key) {
    known_.emplace_back(key);
    return entry_.has(key);
  }
  void aliases() {
    if (!use("aliases")) return;
    const JsonNode& list = *entry_.find("aliases");
    for (const JsonNode& item : list.items) {
      if (!item.is_string() || item.text.empty()) entry_.fail("aliases", "must be a list of names");
      spec_.aliases.push_back(printable(item.text, 100));
    }
    if (list.type != JsonNode::Type::kArray || spec_.aliases.size() > kMostAliases) {
      entry_.fail("aliases", fmt::format("must be a list of at most {} names", kMostAliases));
    }
  }
  void finish() {
    for (const char* key : {"sources", "like"}) known_.emplace_back(key);
    entry_.refuse_unknown(known_);
  }

 private:
  const JsonReader& sourced(const char* key) {
    const JsonNode* own = sources_.find(key);
    if (own == nullptr) own = sources_.find("*");
    spec_.sources[key] = own != nullptr ? printable(own->text, 1000) : entry_.file();
    return entry_;
  }

  const JsonReader& entry_;
  Spec& spec_;
  JsonNode sources_ = json_object();
  std::vector<std::string_view> known_;
};

void read_peaks(const JsonReader& peaks, GpuSpec& gpu) {
  std::vector<std::string_view> names;
  for (int a = 0; a < kArithmetics; ++a) names.push_back(to_string(static_cast<Arithmetic>(a)));
  peaks.refuse_unknown(names);
  for (std::size_t a = 0; a < kArithmetics; ++a) {
    if (peaks.has(names[a])) gpu.peak[a] = FlopPerSecond(peaks.real(names[a], kNotNegative) * kTera);
  }
}

template <class Spec>
void read_price(EntryReader<Spec>& reader, Spec& spec) {
  reader.number("usd_per_hour", spec.price_per_hour, kNotNegative);
  reader.number("reserved_usd_per_hour", spec.reserved_price_per_hour, kNotNegative);
  reader.words("price_date", spec.price_date);
}

void read_entry(const JsonReader& entry, GpuSpec& gpu) {
  EntryReader reader(entry, gpu);
  reader.words("title", gpu.title);
  reader.aliases();
  reader.words("vendor", gpu.vendor);
  reader.words("architecture", gpu.architecture);
  reader.count("multiprocessors", gpu.multiprocessors, {1, 100000});
  reader.number("boost_ghz", gpu.boost_ghz, {0, 20, true});
  if (reader.use("peak_tflops")) read_peaks(reader.block("peak_tflops"), gpu);
  reader.amount("vector_fp32_tflops", gpu.vector_fp32, kTera);
  reader.amount("memory_gib", gpu.memory, kGiB);
  reader.amount("l2_mib", gpu.l2, kMiB);
  reader.amount("memory_gb_per_s", gpu.memory_bandwidth, kGB);
  reader.link("scale_up", gpu.scale_up, kNotNegative);
  reader.yes("switch_reduces", gpu.switch_reduces);
  reader.link("pcie", gpu.pcie, kPositive);
  reader.number("tdp_watts", gpu.tdp_watts, {0, 1e5, true});
  read_price(reader, gpu);
  reader.finish();
}

void read_host(const JsonReader& host, SystemSpec& system) {
  host.refuse_unknown({"cpu", "cores", "memory_gib", "memory_gb_per_s"});
  if (host.has("cpu")) system.host_cpu = printable(host.text("cpu"), 200);
  if (host.has("cores")) system.host_cores = static_cast<int>(host.integer("cores", {1, 1 << 20}));
  if (host.has("memory_gib")) system.host_memory = Bytes(host.real("memory_gib", kPositive) * kGiB);
  if (host.has("memory_gb_per_s")) {
    system.host_memory_bandwidth = BytesPerSecond(host.real("memory_gb_per_s", kPositive) * kGB);
  }
}

void read_nvme(const JsonReader& nvme, SystemSpec& system) {
  nvme.refuse_unknown({"capacity_tb", "read_gb_per_s", "write_gb_per_s"});
  if (nvme.has("capacity_tb")) system.nvme = Bytes(nvme.real("capacity_tb", kNotNegative) * kTB);
  if (nvme.has("read_gb_per_s")) system.nvme_read = BytesPerSecond(nvme.real("read_gb_per_s", kPositive) * kGB);
  if (nvme.has("write_gb_per_s")) system.nvme_write = BytesPerSecond(nvme.real("write_gb_per_s", kPositive) * kGB);
}

void read_entry(const JsonReader& entry, SystemSpec& system) {
  EntryReader reader(entry, system);
  reader.words("title", system.title);
  reader.aliases();
  reader.words("gpu", system.gpu);
  reader.count("gpus_per_node", system.gpus_per_node, {1, 1024});
  reader.count("scale_up_domain", system.scale_up_domain, {1, 1 << 20});
  reader.yes("scale_up_switched", system.scale_up_switched);
  reader.count("nics", system.nics, {1, 1024});
  reader.count("gpus_per_pcie_switch", system.gpus_per_pcie_switch, {1, 1024});
  reader.amount("nic_gbit_per_s", system.nic_bandwidth, kGigabit);
  reader.words("fabric", system.fabric);
  if (reader.use("host")) read_host(reader.block("host"), system);
  if (reader.use("nvme")) read_nvme(reader.block("nvme"), system);
  reader.number("node_watts", system.node_watts, {0, 1e6});
  read_price(reader, system);
  reader.finish();
}

void read_entry(const JsonReader& entry, FabricSpec& fabric) {
  EntryReader reader(entry, fabric);
  reader.words("title", fabric.title);
  reader.aliases();
  reader.amount("gbit_per_s", fabric.bandwidth, kGigabit);
  double latency_us = fabric.latency.value * 1e6;
  reader.number("latency_us", latency_us, kNotNegative);
  fabric.latency = microseconds(latency_us);
  reader.number("efficiency", fabric.efficiency, {0, 1, true});
  reader.number("oversubscription", fabric.oversubscription, {1, 1000});
  reader.yes("rail_optimised", fabric.rail_optimised);
  reader.yes("reduces", fabric.reduces);
  reader.finish();
}

/// What a new entry must say, unless it is like another.
std::vector<std::string_view> needed(const GpuSpec&) {
  return {"title",      "multiprocessors", "boost_ghz",       "peak_tflops", "vector_fp32_tflops",
          "memory_gib", "l2_mib",          "memory_gb_per_s", "pcie",        "tdp_watts"};
}
std::vector<std::string_view> needed(const SystemSpec&) {
  return {"title", "gpu", "gpus_per_node", "scale_up_domain", "nics", "nic_gbit_per_s", "fabric", "host", "node_watts"};
}
std::vector<std::string_view> needed(const FabricSpec&) { return {"title", "gbit_per_s", "latency_us"}; }

/// What blocks must come to, whether they were changed or are new.
void check_whole(const JsonReader& entry, const GpuSpec& gpu) {
  const bool computes = std::any_of(gpu.peak.begin(), gpu.peak.end(), [](auto peak) { return peak.value > 0; });
  if (!computes) entry.fail("peak_tflops", "has no peak above 0");
  if (gpu.pcie.bandwidth.value <= 0) entry.fail("pcie", "must have gb_per_s, the link to the host");
}
void check_whole(const JsonReader& entry, const SystemSpec& system) {
  if (system.host_memory.value <= 0 || system.host_memory_bandwidth.value <= 0 || system.host_cores < 1) {
    entry.fail("host", "must have cores, memory_gib and memory_gb_per_s");
  }
  if (system.nvme.value > 0 && (system.nvme_read.value <= 0 || system.nvme_write.value <= 0)) {
    entry.fail("nvme", "must have read_gb_per_s and write_gb_per_s, or capacity_tb 0");
  }
}
void check_whole(const JsonReader&, const FabricSpec&) {}

bool is_key(std::string_view name) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  };
  return !name.empty() && name.size() <= 60 && std::all_of(name.begin(), name.end(), plain);
}

template <class Spec>
Spec new_entry(const JsonReader& entry, const JsonReader& section, const std::string& name,
               const std::vector<Spec>& known) {
  if (!is_key(name) || same_name(name).empty()) {
    section.fail(name, "is no key for a new entry; it must be of a-z, 0-9, '-', '.' and '_', at most 60 characters");
  }
  Spec spec;
  if (entry.has("like")) {
    const Spec* model = lookup(known, entry.text("like"));
    if (model == nullptr) entry.fail("like", "names no entry that is there before it");
    spec = *model;
    spec.aliases.clear();
    if (!entry.has("title")) spec.title = name;
  } else {
    for (const std::string_view key : needed(spec)) {
      if (!entry.has(key)) entry.fail(key, "is missing; a new entry needs it, or \"like\": the key of one that has it");
    }
  }
  spec.name = name;
  return spec;
}

template <class Spec>
void read_section(const JsonReader& root, const char* key, std::vector<Spec>& specs) {
  const auto section = root.object(key);
  if (!section) return;
  for (const auto& [name, node] : section->node().members) {
    const JsonReader entry(node, section->file(), section->path_of(name));
    Spec* old = lookup(specs, name);
    if (old == nullptr) {
      if (specs.size() >= kMostEntries) section->fail(name, fmt::format("is one too many; {} entries", kMostEntries));
      specs.push_back(new_entry(entry, *section, name, specs));
      old = &specs.back();
    } else if (entry.has("like")) {
      entry.fail("like", fmt::format("is for new entries; the catalog has {}", old->name));
    }
    read_entry(entry, *old);
    check_whole(entry, *old);
  }
}

/// No name may mean two entries.
template <class Spec>
void check_names(const std::vector<Spec>& specs, const char* section, const std::string& file) {
  std::map<std::string, const Spec*> owners;
  for (const Spec& spec : specs) {
    std::vector<std::string> names = spec.aliases;
    names.push_back(spec.name), names.push_back(spec.title);
    for (const std::string& name : names) {
      const auto [at, added] = owners.emplace(same_name(name), &spec);
      if (added || at->second == &spec) continue;
      throw Error(ErrorKind::kConfig, fmt::format("{}: {}: \"{}\" is a name of {} and of {}; it must be one's only",
                                                  file, section, name, at->second->name, spec.name));
    }
  }
}

void check_references(const HardwareCatalog& catalog, const std::string& file) {
  for (const SystemSpec& system : catalog.systems) {
    const auto fail = [&](const std::string& what) {
      throw Error(ErrorKind::kConfig, fmt::format("{}: systems.{}.{}", file, system.name, what));
    };
    const FabricSpec* fabric = lookup(catalog.fabrics, system.fabric);
    const GpuSpec* gpu = lookup(catalog.gpus, system.gpu);
    if (gpu == nullptr) fail(fmt::format("gpu is \"{}\"; it must be a key of gpus", system.gpu));
    if (fabric == nullptr) fail(fmt::format("fabric is \"{}\"; it must be a key of fabrics", system.fabric));
    if (system.scale_up_domain > 1 && gpu->scale_up.bandwidth.value <= 0) {
      fail(fmt::format("scale_up_domain is {}; {} has no scale_up link, so it must be 1", system.scale_up_domain,
                       gpu->name));
    }
  }
}

void apply(HardwareCatalog& catalog, std::string_view json_text, const std::string& file) {
  const JsonNode node = parse_json(json_text, file);
  const JsonReader root(node, file, "");
  root.refuse_unknown(kSections);
  read_section(root, "gpus", catalog.gpus);
  read_section(root, "fabrics", catalog.fabrics);
  read_section(root, "systems", catalog.systems);
}

void check(const HardwareCatalog& catalog, const std::string& file) {
  check_names(catalog.gpus, "gpus", file);
  check_names(catalog.systems, "systems", file);
  check_names(catalog.fabrics, "fabrics", file);
  check_references(catalog, file);
}

}  // namespace

void overlay_text(HardwareCatalog& catalog, std::string_view json_text, const std::string& file_name) {
  HardwareCatalog changed = catalog;  // a refused file changes nothing
  apply(changed, json_text, file_name);
  check(changed, file_name);
  catalog = std::move(changed);
}

void overlay(HardwareCatalog& catalog, const std::string& user_file) {
  overlay_text(catalog, read_text_file(user_file), user_file);
}

HardwareCatalog load_catalog(const std::string& folder) {
  HardwareCatalog catalog;
  for (const char* file : {"gpus.json", "fabrics.json", "systems.json"}) {
    const std::string path = folder + "/" + file;
    apply(catalog, read_text_file(path), path);
  }
  check(catalog, folder);
  return catalog;
}

HardwareCatalog default_catalog() {
  HardwareCatalog catalog;
  for (const EmbeddedFile& file : embedded_hardware()) {
    apply(catalog, file.text, "data/hardware/" + std::string(file.path));
  }
  check(catalog, "data/hardware");
  return catalog;
}

}  // namespace shardscope
