#include "gui/models/plan_inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "core/spec/json_reader.h"
#include "core/spec/model_catalog.h"
#include "simulator/analytic/zero_plus_plus.h"
#include "simulator/planner/defaults.h"
#include "simulator/planner/plan_case.h"

namespace shardscope::gui {
namespace {

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorKind::kConfig, what); }

constexpr int kMostGpus = 1 << 20;

void check_numbers(const PlanInputs& in) {
  const auto positive = [](double v) { return std::isfinite(v) && v > 0; };
  const auto limit = [](double v) { return std::isfinite(v) && v >= 0; };
  if (!positive(in.tokens)) refuse("tokens: must be above 0, as 1T");
  if (!limit(in.usd_per_gpu_hour)) refuse("price: must be a number of USD, not below 0");
  if (!limit(in.deadline_days)) refuse("deadline: must be a number of days, not below 0");
  if (!limit(in.budget_usd)) refuse("budget: must be a number of USD, not below 0");
  if (!limit(in.nic_gbps)) refuse("network: must be gigabits a second, not below 0");
  if (in.min_gpus < 1 || in.max_gpus > kMostGpus || in.min_gpus > in.max_gpus) {
    refuse(fmt::format("GPUs: {} to {} is no range; it must begin at 1 or more and end no lower, at most {}",
                       in.min_gpus, in.max_gpus, kMostGpus));
  }
  if (in.gpus.empty()) refuse("GPU kinds: none is chosen; choose one, as h100-sxm");
  if (in.frameworks.empty()) refuse("frameworks: none is chosen; choose one, as megatron");
}

/// What the framework can do, and of that what the inputs leave.
SpaceLimits limits_of(const FrameworkSpec& framework, const PlanInputs& in) {
  SpaceLimits limits = shardscope::limits_of(framework);
  if (in.tp) limits.only_tp = *in.tp;
  if (in.pp) limits.only_pp = *in.pp;
  if (in.micro_batch) limits.only_micro_batch = *in.micro_batch;
  for (int z = 0; in.zero && z < 4; ++z) {
    if (z != *in.zero) limits.zero[static_cast<std::size_t>(z)] = false;
  }
  if (in.offload) std::erase_if(limits.offload, [&](Offload o) { return o != *in.offload; });
  if (in.recompute) std::erase_if(limits.recompute, [&](Recompute r) { return r != *in.recompute; });
  return limits;
}

std::vector<int> counts_of(const SystemSpec& system, const PlanInputs& in) {
  std::vector<int> counts = gpu_counts(system, in.max_gpus);
  std::erase_if(counts, [&](int n) { return n < in.min_gpus; });
  if (!counts.empty()) return counts;
  refuse(fmt::format("GPUs: {} to {} holds no number that {} comes in: 1, 2, 4, ... or whole nodes of {}", in.min_gpus,
                     in.max_gpus, system.title, system.gpus_per_node));
}

double price_of(const PlanInputs& in, const HardwareCatalog& catalog, const SystemSpec& system) {
  if (in.usd_per_gpu_hour > 0) return in.usd_per_gpu_hour;
  const double usd = shardscope::price_of(catalog, system).on_demand;
  if (usd <= 0) refuse(fmt::format("price: none of {} is known; give one per GPU hour", system.gpu));
  return usd;
}

Target target_for(const PlanInputs& in, const HardwareCatalog& catalog, const SystemSpec& system) {
  Target target = target_of(catalog, system);
  if (in.nic_gbps > 0) target.system.nic_bandwidth = target.fabric.bandwidth = BytesPerSecond(in.nic_gbps * 1e9 / 8);
  return target;
}

int nearest(const std::vector<int>& counts, int wanted) {
  return *std::min_element(counts.begin(), counts.end(),
                           [&](int a, int b) { return std::abs(a - wanted) < std::abs(b - wanted); });
}

std::size_t candidate_of(const PlanKey& key, const SearchRequest& request) {
  const auto& all = request.candidates;
  const auto find = [&](bool both) {
    return std::find_if(all.begin(), all.end(), [&](const Candidate& c) {
      return c.target.system.name == key.system && (!both || c.framework.name == key.framework);
    });
  };
  auto found = find(true);
  if (found == all.end()) found = find(false);
  return found == all.end() ? 0 : static_cast<std::size_t>(found - all.begin());
}

void put_fixed(Plan& p, const PlanInputs& in) {
  if (in.tp) p.tp = *in.tp;
  if (in.pp) p.pp = *in.pp;
  if (in.zero) p.zero = *in.zero;
  if (in.micro_batch) p.micro_batch = *in.micro_batch;
  if (in.offload) p.offload = *in.offload;
  if (in.recompute) p.recompute = *in.recompute;
  if (p.pp == 1) p.vpp = 1, p.schedule = PipelineSchedule::k1F1B;
  if (p.tp == 1) p.sp = false;
  if (p.zero < 3) p.shard = 0, p.hpz = 1, p.quantized_weights = p.quantized_gradients = false;
}

}  // namespace

HardwareCatalog plan_catalog(const PlanState& state) {
  HardwareCatalog catalog = default_catalog();
  if (!state.hardware.empty()) overlay(catalog, state.hardware);
  return catalog;
}

SearchRequest make_request(const PlanInputs& in, const HardwareCatalog& catalog) {
  check_numbers(in);
  Workload workload;
  workload.model = open_model(in.model);
  workload.seq = in.seq > 0 ? in.seq : default_seq(workload.model);
  workload.arithmetic = trained_arithmetic(in.precision);
  SearchRequest request;
  request.max_gpus = in.max_gpus;
  request.global_batch = in.global_batch > 0 ? in.global_batch : default_global_batch(workload.model, workload.seq);
  for (const std::string& kind : in.gpus) {
    const SystemSpec& system = find_system(catalog, kind);
    const Target target = target_for(in, catalog, system);
    if (target.gpu.peak[static_cast<std::size_t>(workload.arithmetic)].value <= 0) continue;
    for (const std::string& name : in.frameworks) {
      Candidate c{.workload = workload, .target = target, .framework = find_framework(default_frameworks(), name)};
      c.limits = limits_of(c.framework, in);
      c.run.tokens = in.tokens;
      c.run.usd_per_gpu_hour = price_of(in, catalog, system);
      c.counts = counts_of(system, in);
      request.candidates.push_back(std::move(c));
    }
  }
  if (request.candidates.empty()) refuse(fmt::format("precision: none of the GPUs computes in {}", in.precision));
  return request;
}

AdaptedPlan adapt(const PlanKey& key, const PlanInputs& in, const SearchRequest& request) {
  AdaptedPlan out{candidate_of(key, request), key.plan, {}};
  const Candidate& c = request.candidates[out.candidate];
  Plan& p = out.plan;
  put_fixed(p, in);
  p.gpus = nearest(c.counts, p.gpus);
  p.global_batch = request.global_batch;
  const std::int64_t inner = std::int64_t{p.tp} * p.pp * p.cp * p.ulysses;
  if (p.gpus % inner != 0) {
    out.problem = fmt::format("tp {} x pp {}{} does not divide {} GPUs", p.tp, p.pp,
                              p.cp * p.ulysses > 1 ? fmt::format(" x cp {}", p.cp * p.ulysses) : std::string(), p.gpus);
    return out;
  }
  p.dp = static_cast<int>(p.gpus / inner);
  if (!in.micro_batch) {
    while (p.micro_batch > 1 && p.global_batch % (p.dp * p.micro_batch) != 0) p.micro_batch /= 2;
  }
  out.problem = find_plan_problem(c.workload, c.target, p);
  if (out.problem.empty()) out.problem = find_framework_problem(c.framework, p);
  return out;
}

PlanKey key_of(const SearchRequest& request, const PlanPoint& point) {
  const Candidate& c = request.candidates[point.candidate];
  PlanKey key{c.target.system.name, c.framework.name, point.plan};
  key.plan.global_batch = 1;
  return key;
}

}  // namespace shardscope::gui
