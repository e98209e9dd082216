#include "simulator/planner/whatif.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "core/error.h"
#include "core/spec/json_reader.h"
#include "core/spec/model_catalog.h"
#include "simulator/planner/space.h"

namespace shardscope {
namespace {

/// What settings work on; sizes that were set by name stay as they are.
struct Change {
  PlanCase& c;
  HardwareCatalog catalog;
  std::string_view key, value;
  bool sets_dp = false, sets_gpus = false;
};

[[noreturn]] void refuse(const Change& change, std::string_view wanted) {
  throw Error(ErrorKind::kConfig,
              fmt::format("--set {}={}: it must be {}", change.key, printable(change.value), wanted));
}

double number(const Change& change, double least, double most) {
  double value = 0;
  const char* end = change.value.data() + change.value.size();
  const auto [stop, error] = std::from_chars(change.value.data(), end, value);
  if (error != std::errc() || stop != end || !(value >= least && value <= most)) {
    refuse(change, fmt::format("a number from {} to {}", least, most));
  }
  return value;
}

constexpr int kMostRanks = 1 << 24;

int whole(const Change& change, int least = 1, int most = kMostRanks) {
  const double value = number(change, least, most);
  if (value != std::floor(value)) refuse(change, "a whole number");
  return static_cast<int>(value);
}

bool truth(const Change& change) {
  if (change.value == "true" || change.value == "1") return true;
  if (change.value == "false" || change.value == "0") return false;
  refuse(change, "true or false");
}

PipelineSchedule schedule_from_name(const Change& change) {
  for (int i = 0; i <= static_cast<int>(PipelineSchedule::kDualPipeV); ++i) {
    if (to_string(static_cast<PipelineSchedule>(i)) == change.value) return static_cast<PipelineSchedule>(i);
  }
  refuse(change, "gpipe, 1f1b, interleaved, zb-h1, zbv or dualpipev");
}

void set_vpp(Change& x) {
  x.c.plan.vpp = whole(x, 1, 1024);
  x.c.plan.schedule = x.c.plan.vpp > 1 ? PipelineSchedule::kInterleaved : PipelineSchedule::k1F1B;
}

void set_system(Change& x) { x.c.target = target_of(x.catalog, find_system(x.catalog, x.value)); }

void set_nic(Change& x) {
  x.c.target.system.nic_bandwidth = x.c.target.fabric.bandwidth = BytesPerSecond(number(x, 1e-3, 1e6) * 1e9 / 8);
}

struct Setting {
  std::string_view name, meaning;
  void (*apply)(Change&);
};

constexpr Setting kSettings[] = {
    {"gpus", "GPUs; dp follows", [](Change& x) { x.c.plan.gpus = whole(x), x.sets_gpus = true; }},
    {"parallel.dp", "data-parallel ranks", [](Change& x) { x.c.plan.dp = whole(x), x.sets_dp = true; }},
    {"parallel.tp", "tensor-parallel ranks", [](Change& x) { x.c.plan.tp = whole(x); }},
    {"parallel.pp", "pipeline stages", [](Change& x) { x.c.plan.pp = whole(x); }},
    {"parallel.vpp", "chunks of the model per stage (interleaved)", set_vpp},
    {"parallel.cp", "ranks of a ring of keys", [](Change& x) { x.c.plan.cp = whole(x); }},
    {"parallel.ulysses", "ranks that swap sequence for heads", [](Change& x) { x.c.plan.ulysses = whole(x); }},
    {"parallel.ep", "ranks that share the experts", [](Change& x) { x.c.plan.ep = whole(x); }},
    {"parallel.sp", "sequence parallelism beside tp", [](Change& x) { x.c.plan.sp = truth(x); }},
    {"parallel.schedule", "of the pipeline", [](Change& x) { x.c.plan.schedule = schedule_from_name(x); }},
    {"zero.stage", "0 to 3", [](Change& x) { x.c.plan.zero = whole(x, 0, 3); }},
    {"zero.shard", "ranks that share one copy of the state; 0: all", [](Change& x) { x.c.plan.shard = whole(x, 0); }},
    {"zero.hpz", "ZeRO++: ranks that share a second copy of the parameters; 1: none",
     [](Change& x) { x.c.plan.hpz = whole(x); }},
    {"zero.quantized_weights", "ZeRO++: gathers in int8", [](Change& x) { x.c.plan.quantized_weights = truth(x); }},
    {"zero.quantized_gradients", "ZeRO++: reductions in int4",
     [](Change& x) { x.c.plan.quantized_gradients = truth(x); }},
    {"offload", "none, optimizer-cpu, optimizer-nvme, parameters-cpu, parameters-nvme",
     [](Change& x) { x.c.plan.offload = offload_from_name(x.value); }},
    {"recompute", "none, selective, full", [](Change& x) { x.c.plan.recompute = recompute_from_name(x.value); }},
    {"micro_batch", "sequences", [](Change& x) { x.c.plan.micro_batch = whole(x); }},
    {"global_batch", "sequences", [](Change& x) { x.c.plan.global_batch = whole(x); }},
    {"seq", "tokens of a sequence", [](Change& x) { x.c.workload.seq = whole(x); }},
    {"precision", "bf16, fp16, fp8, fp4, tf32, fp32",
     [](Change& x) {
       x.c.workload.arithmetic = trained_arithmetic(x.value);
       x.c.framework = in_precision(x.c.framework, x.c.workload.arithmetic);
     }},
    {"experts.imbalance", "tokens of the fullest rank's experts over the mean",
     [](Change& x) { x.c.workload.expert_imbalance = number(x, 1, 1e3); }},
    {"model", "a name or config.json",
     [](Change& x) { x.c.workload.model = open_model(x.c.model = std::string(x.value)); }},
    {"framework", "deepspeed, megatron, fsdp2, ...",
     [](Change& x) {
       x.c.framework = in_precision(find_framework(default_frameworks(), x.value), x.c.workload.arithmetic);
     }},
    {"gpu", "another kind, in its usual system", set_system},
    {"system", "another system", set_system},
    {"links.nic_gbps", "gigabits a second of each NIC, one way", set_nic},
    {"links.nics", "NICs of a node", [](Change& x) { x.c.target.system.nics = whole(x, 1, 1024); }},
    {"links.nvlink_gb_per_s", "gigabytes a second of a GPU's scale-up link, one way",
     [](Change& x) { x.c.target.gpu.scale_up.bandwidth = BytesPerSecond(number(x, 1e-3, 1e6) * 1e9); }},
    {"links.pcie_gb_per_s", "gigabytes a second to the host, one way",
     [](Change& x) { x.c.target.gpu.pcie.bandwidth = BytesPerSecond(number(x, 1e-3, 1e6) * 1e9); }},
    {"links.latency_us", "microseconds between nodes",
     [](Change& x) { x.c.target.fabric.latency = microseconds(number(x, 0, 1e6)); }},
};

/// gpu.*, system.*, fabric.*: numbers of the catalog's files.
bool names_catalog_field(std::string_view key) {
  return key.starts_with("gpu.") || key.starts_with("system.") || key.starts_with("fabric.");
}

void set_catalog_field(Change& x, std::string_view assignment) {
  set_field(x.catalog, x.c.target.system.name, assignment);
  const Target changed = target_of(x.catalog, find_system(x.catalog, x.c.target.system.name));
  (x.key.starts_with("gpu.")      ? void(x.c.target.gpu = changed.gpu)
   : x.key.starts_with("system.") ? void(x.c.target.system = changed.system)
                                  : void(x.c.target.fabric = changed.fabric));
}

const Setting& find_setting(std::string_view key) {
  std::vector<std::string_view> known;
  for (const Setting& s : kSettings) {
    const std::size_t dot = s.name.find('.');
    if (s.name == key || (s.name.starts_with("parallel.") && s.name.substr(dot + 1) == key)) return s;
    known.push_back(s.name);
  }
  if (key == "zero") return find_setting("zero.stage");
  if (key == "vpp") return find_setting("parallel.vpp");
  throw Error(ErrorKind::kConfig,
              fmt::format("--set {}: there is no such key{}; there are {}, and gpu.*, system.*, fabric.* "
                          "of the hardware catalog",
                          printable(key), suggestion(key, known), fmt::join(known, ", ")));
}

/// Which device it is comes first, then the catalog's numbers of it, then all else.
int order_of(std::string_view assignment) {
  if (assignment.starts_with("gpu=") || assignment.starts_with("system=")) return 0;
  return names_catalog_field(assignment) ? 1 : 2;
}

void close_sizes(const Change& x) {
  Plan& p = x.c.plan;
  const double rest = ranks_of(p) / p.dp;
  if (!x.sets_dp && std::fmod(p.gpus, rest) == 0) p.dp = static_cast<int>(p.gpus / rest);
  if (x.sets_dp && !x.sets_gpus && p.dp * rest <= kMostRanks) p.gpus = static_cast<int>(p.dp * rest);
  const int node = x.c.target.system.gpus_per_node;
  if (p.gpus > node && p.gpus % node != 0) {
    throw Error(ErrorKind::kConfig, fmt::format("{} GPUs: it must be at most {}, or whole nodes of {} ({})", p.gpus,
                                                node, node, x.c.target.system.name));
  }
  if (ranks_of(p) == p.gpus) return;
  throw Error(ErrorKind::kConfig,
              fmt::format("dp {} x tp {} x pp {} x cp {} x ulysses {} are not {} GPUs; set gpus or dp too", p.dp, p.tp,
                          p.pp, p.cp, p.ulysses, p.gpus));
}

}  // namespace

std::vector<SettingKey> setting_keys() {
  std::vector<SettingKey> keys;
  for (const Setting& s : kSettings) keys.push_back({s.name, s.meaning});
  return keys;
}

void apply_settings(PlanCase& c, const std::vector<std::string>& assignments, const HardwareCatalog& catalog) {
  Change change{c, catalog, {}, {}};
  std::vector<std::string> ordered = assignments;
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const auto& a, const auto& b) { return order_of(a) < order_of(b); });
  for (const std::string& assignment : ordered) {
    const std::size_t equals = assignment.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw Error(ErrorKind::kConfig, fmt::format("--set {}: it must be KEY=VALUE", printable(assignment)));
    }
    change.key = std::string_view(assignment).substr(0, equals);
    change.value = std::string_view(assignment).substr(equals + 1);
    if (names_catalog_field(change.key)) {
      set_catalog_field(change, assignment);
    } else {
      find_setting(change.key).apply(change);
    }
  }
  close_sizes(change);
}

Waterfall make_waterfall(const Estimate& from, const Estimate& to) {
  Waterfall w{from.step_time_s, to.step_time_s, to.step_time_s - from.step_time_s, {}};
  for (int i = 0; i < kTimeTerms; ++i) {
    const auto term = static_cast<TimeTerm>(i);
    const WaterfallStep step{term, from[term], to[term]};
    if (std::abs(step.change()) < 1e-3 * from.step_time_s) continue;
    w.rest -= step.change();
    w.steps.push_back(step);
  }
  std::stable_sort(w.steps.begin(), w.steps.end(),
                   [](const auto& a, const auto& b) { return std::abs(a.change()) > std::abs(b.change()); });
  return w;
}

std::string waterfall_text(const Waterfall& w) {
  constexpr double kWidth = 50;
  double most = std::max(w.from, w.to), at = w.from;
  for (const WaterfallStep& s : w.steps) most = std::max(most, at += s.change());
  const auto bar = [&](double low, double high, char fill) {
    const auto start = static_cast<std::size_t>(std::max(0.0, std::round(kWidth * low / most)));
    const auto end = std::max(start + 1, static_cast<std::size_t>(std::round(kWidth * high / most)));
    return std::string(start, ' ') + std::string(end - start, fill);
  };
  std::string out = fmt::format("  {:<24}{:>12.4f} s  {}\n", "before", w.from, bar(0, w.from, '#'));
  at = w.from;
  for (const WaterfallStep& s : w.steps) {
    const double next = at + s.change();
    out += fmt::format("  {:<24}{:>+12.4f} s  {}\n", title_of(s.term), s.change(),
                       bar(std::min(at, next), std::max(at, next), s.change() > 0 ? '+' : '-'));
    at = next;
  }
  if (std::abs(w.rest) > 1e-9) out += fmt::format("  {:<24}{:>+12.4f} s\n", "all else", w.rest);
  out += fmt::format("  {:<24}{:>12.4f} s  {}\n", "after", w.to, bar(0, w.to, '#'));
  out += fmt::format("  {:<24}{:>+12.1f} %\n", "step time", 100 * (w.to / w.from - 1));
  return out;
}

}  // namespace shardscope
