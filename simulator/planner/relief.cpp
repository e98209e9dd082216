#include "simulator/planner/relief.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace shardscope {
namespace {

constexpr std::array<std::string_view, kTimeTerms> kTimeTitles{"matrix products",
                                                               "attention",
                                                               "element-wise kernels",
                                                               "launching kernels",
                                                               "computing again",
                                                               "tensor parallelism",
                                                               "context parallelism",
                                                               "experts' exchange",
                                                               "data parallelism",
                                                               "messages between stages",
                                                               "pipeline bubble",
                                                               "optimizer",
                                                               "offload",
                                                               "fixed cost"};
constexpr std::array<std::string_view, kMemoryTerms> kMemoryTitles{
    "parameters",          "gradients", "optimizer state", "activations",  "computed again", "logits",
    "gathered parameters", "buckets",   "workspace",       "CUDA context", "NCCL",           "fragmentation"};

struct Upgrade {
  std::string_view name;
  void (*apply)(Target&);
};

constexpr std::array<Upgrade, 6> kUpgrades{{
    {"twice the NIC",
     [](Target& t) {
       t.system.nic_bandwidth = t.system.nic_bandwidth * 2;
       t.fabric.bandwidth = t.fabric.bandwidth * 2;
     }},
    {"twice the NVLink", [](Target& t) { t.gpu.scale_up.bandwidth = t.gpu.scale_up.bandwidth * 2; }},
    {"twice the memory bandwidth", [](Target& t) { t.gpu.memory_bandwidth = t.gpu.memory_bandwidth * 2; }},
    {"twice the peak FLOP/s",
     [](Target& t) {
       for (FlopPerSecond& peak : t.gpu.peak) peak = peak * 2;
       t.gpu.vector_fp32 = t.gpu.vector_fp32 * 2;
     }},
    {"twice the PCIe", [](Target& t) { t.gpu.pcie.bandwidth = t.gpu.pcie.bandwidth * 2; }},
    {"twice the host memory bandwidth",
     [](Target& t) { t.system.host_memory_bandwidth = t.system.host_memory_bandwidth * 2; }},
}};

}  // namespace

std::string_view title_of(TimeTerm term) { return kTimeTitles[static_cast<std::size_t>(term)]; }
std::string_view title_of(MemoryTerm term) { return kMemoryTitles[static_cast<std::size_t>(term)]; }

Relief find_relief(const Workload& workload, const Target& target, const FrameworkSpec& framework, const Plan& plan) {
  const Estimate base = Estimator(workload, target, framework).estimate(plan);
  Relief relief;
  const auto longest = std::max_element(base.seconds.begin(), base.seconds.end());
  relief.bottleneck = static_cast<TimeTerm>(longest - base.seconds.begin());
  relief.share = *longest / base.step_time_s;
  for (const Upgrade& upgrade : kUpgrades) {
    Target better = target;
    upgrade.apply(better);
    const double seconds = Estimator(workload, better, framework).estimate(plan).step_time_s;
    relief.changes.push_back({std::string(upgrade.name), seconds / base.step_time_s - 1});
  }
  std::stable_sort(relief.changes.begin(), relief.changes.end(),
                   [](const auto& a, const auto& b) { return a.change < b.change; });
  return relief;
}

std::string describe(const Relief& relief) {
  std::string text = fmt::format("{} {:.0f} % of the step", title_of(relief.bottleneck), 100 * relief.share);
  for (std::size_t i = 0; i < relief.changes.size() && i < 2; ++i) {
    if (i > 0 && relief.changes[i].change > -0.01) break;
    text += fmt::format("{} {}: {:+.0f} %", i == 0 ? ";" : ",", relief.changes[i].name, 100 * relief.changes[i].change);
  }
  return text;
}

}  // namespace shardscope
