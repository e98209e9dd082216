#include "simulator/planner/space.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "core/error.h"
#include "core/spec/json_reader.h"

namespace shardscope {
namespace {

constexpr std::array<std::pair<Offload, std::string_view>, 5> kOffloads{
    {{Offload::kNone, "none"},
     {Offload::kOptimizer, "optimizer-cpu"},
     {Offload::kOptimizerNvme, "optimizer-nvme"},
     {Offload::kParameters, "parameters-cpu"},
     {Offload::kParametersNvme, "parameters-nvme"}}};

bool power_of_two(std::int64_t n) { return n > 0 && (n & (n - 1)) == 0; }

std::vector<int> divisors(std::int64_t n, std::int64_t most) {
  std::vector<int> found;
  for (std::int64_t d = 1; d <= std::min(n, most); ++d) {
    if (n % d == 0) found.push_back(static_cast<int>(d));
  }
  return found;
}

/// Stages 1 and up shard the optimizer; only stage 3 has parameters to take away, and swaps to drives (DeepSpeed's
/// rule, and our engine's).
bool allows(int zero, Offload offload) {
  if (offload == Offload::kNone) return true;
  return offload == Offload::kOptimizer ? zero >= 1 : zero == 3;
}

/// dp ranks of one node: neighbours after tp and cp.
int dp_in_node(const Plan& layout, const Target& target) {
  const int inner = layout.tp * layout.cp * layout.ulysses;
  const int domain = std::max(target.system.scale_up_domain, target.system.gpus_per_node);
  return inner > 0 && domain % inner == 0 ? domain / inner : 0;
}

/// Interleaved stages take micro-batches in groups of pp: Megatron-LM's schedules.py refuses others, and so does
/// core/program/schedule.cpp.
bool whole_groups(const Plan& layout, std::int64_t micro_batch) {
  return layout.vpp == 1 || layout.global_batch / (micro_batch * layout.dp) % layout.pp == 0;
}

std::vector<std::int64_t> micro_batches(const Plan& layout, const SpaceLimits& limits) {
  std::vector<std::int64_t> sizes;
  const std::int64_t first = limits.first_micro_batch();
  const std::int64_t last = limits.only_micro_batch > 0 ? first : limits.max_micro_batch;
  const auto divides = [&](std::int64_t b) { return layout.global_batch % (b * layout.dp) == 0; };
  for (std::int64_t b = first; b <= last && divides(b) && whole_groups(layout, b); b *= 2) sizes.push_back(b);
  return sizes;
}

bool has_stages(std::int64_t layers, std::int64_t parts, const SpaceLimits& limits) {
  if (!limits.even_stages || layers % parts == 0) return true;
  return limits.ends_are_layers && ends_fill_stages(layers, parts);
}

class Layouts {
 public:
  Layouts(const Workload& workload, const Target& target, int gpus, std::int64_t batch, const SpaceLimits& limits)
      : workload_(workload), target_(target), limits_(limits) {
    plan_.gpus = gpus;
    plan_.global_batch = batch;
  }

  std::vector<Plan> list() {
    // Without fast links a node's GPUs still sum over PCIe.
    const bool joined = target_.gpu.scale_up.bandwidth.value > 0;
    const int domain = std::max(joined ? target_.system.scale_up_domain : target_.system.gpus_per_node, 1);
    for (int tp : divisors(plan_.gpus, std::min(limits_.max_tp, domain))) {
      if (limits_.only_tp > 0 && tp != limits_.only_tp) continue;
      if (workload_.model.heads % tp != 0 || domain % tp != 0) continue;  // no group lies across two domains
      plan_.tp = tp;
      for (int pp : divisors(plan_.gpus / tp, std::min<std::int64_t>(limits_.max_pp, workload_.model.layers))) {
        if (limits_.only_pp > 0 && pp != limits_.only_pp) continue;
        plan_.pp = pp;
        add_context();
      }
    }
    return std::move(found_);
  }

 private:
  void add_context() {
    const int rest = plan_.gpus / (plan_.tp * plan_.pp);
    for (int all : divisors(rest, std::int64_t{limits_.max_cp} * limits_.max_ulysses)) {
      if (!power_of_two(all) || (all > 1 && workload_.seq / all < limits_.min_tokens_per_cp)) continue;
      for (int ulysses : divisors(all, limits_.max_ulysses)) {
        if (all / ulysses > limits_.max_cp) continue;
        if (ulysses > 1 && limits_.ulysses_alone && plan_.tp * plan_.pp > 1) continue;
        plan_.ulysses = ulysses;
        plan_.cp = all / ulysses;
        plan_.dp = rest / all;
        if (plan_.global_batch % plan_.dp == 0) add_experts();
      }
    }
  }

  void add_experts() {
    const std::int64_t experts = std::max<std::int64_t>(workload_.model.experts, 1);
    for (int ep : divisors(experts, std::min<std::int64_t>(limits_.max_ep, std::int64_t{plan_.dp} * plan_.tp))) {
      if (plan_.dp * plan_.tp % ep != 0) continue;
      if (limits_.experts_among_replicas && experts > 1 && (plan_.dp % ep != 0 || plan_.cp * plan_.ulysses > 1))
        continue;
      plan_.ep = ep;
      add_chunks();
    }
  }

  void add_chunks() {
    const std::int64_t layers = workload_.model.layers;
    const int most = plan_.pp == 1 ? 1 : limits_.max_vpp;
    for (int vpp = 1; vpp <= most && plan_.pp * vpp <= layers; ++vpp) {
      if (!has_stages(layers, std::int64_t{plan_.pp} * vpp, limits_)) continue;
      plan_.vpp = vpp;
      if (!whole_groups(plan_, limits_.first_micro_batch())) continue;
      plan_.schedule = vpp == 1 ? PipelineSchedule::k1F1B : PipelineSchedule::kInterleaved;
      for (bool sp : {false, true}) {
        if (sp ? plan_.tp == 1 : plan_.tp > 1 && !limits_.tensor_without_sp) continue;
        plan_.sp = sp;
        if (find_plan_problem(workload_, target_, plan_).empty()) found_.push_back(plan_);
      }
    }
  }

  const Workload& workload_;
  const Target& target_;
  const SpaceLimits& limits_;
  Plan plan_;
  std::vector<Plan> found_;
};

}  // namespace

bool ends_fill_stages(std::int64_t layers, std::int64_t parts) {
  return layers % parts != 0 && (layers + 2) % parts == 0 && (layers + 2) / parts >= 2;  // no part without a layer
}

std::string find_unsupported(const Plan& p, std::int64_t layers, const SpaceLimits& limits) {
  // Larger sizes than a search goes to are no matter: only what may not be at all.
  const auto lacks = [](int most, int size) { return most == 1 && size > 1; };
  if (!limits.zero[static_cast<std::size_t>(p.zero)]) return fmt::format("ZeRO {}", p.zero);
  if (lacks(limits.max_pp, p.pp)) return fmt::format("pp {}", p.pp);
  if (lacks(limits.max_vpp, p.vpp)) return fmt::format("vpp {}", p.vpp);
  if (lacks(limits.max_cp, p.cp)) return fmt::format("cp {}", p.cp);
  if (lacks(limits.max_ulysses, p.ulysses)) return fmt::format("ulysses {}", p.ulysses);
  if (p.ulysses > 1 && limits.ulysses_alone && p.tp * p.pp > 1) return "ulysses beside tp or pp";
  if (std::find(limits.offload.begin(), limits.offload.end(), p.offload) == limits.offload.end())
    return fmt::format("offload {}", to_string(p.offload));
  if (p.pp > 1 && !has_stages(layers, std::int64_t{p.pp} * p.vpp, limits))
    return fmt::format("{} layers in {} stages", layers, p.pp * p.vpp);
  return "";
}

SpaceLimits limits_of(const FrameworkSpec& framework) {
  SpaceLimits limits;
  const std::string_view name = framework.name;
  if (name.starts_with("megatron") || name.starts_with("nanotron")) {
    limits.zero = {true, true, false, false};  // --use-distributed-optimizer; nanotron's zero_stage is 0 or 1
    limits.even_stages = true;                 // layers must divide by pp * vpp
    limits.ends_are_layers = name.starts_with("megatron") && !name.starts_with("megatron_deepspeed");
    limits.offload = {Offload::kNone};
    if (name.starts_with("nanotron")) limits.max_vpp = limits.max_cp = 1;
  } else if (name.starts_with("fsdp")) {
    limits.zero = {false, false, false, true};
    limits.max_pp = 1;
    limits.offload = {Offload::kNone, Offload::kParameters};  // CPUOffload takes both
  } else if (name.starts_with("deepspeed")) {
    limits.max_vpp = limits.max_cp = 1;  // its pipeline engine knows 1F1B only; long sequences go over Ulysses
    limits.max_ulysses = 16, limits.ulysses_alone = true;  // Megatron-DeepSpeed's parallel_state.py asserts it
  } else if (name.starts_with("shardscope")) {
    limits.max_ulysses = 8;
    limits.experts_among_replicas = true;
  }
  return limits;
}

std::vector<Plan> list_layouts(const Workload& workload, const Target& target, int gpus, std::int64_t global_batch,
                               const SpaceLimits& limits) {
  return Layouts(workload, target, gpus, global_batch, limits).list();
}

std::vector<Variant> list_variants(const Plan& layout, const Target& target, const SpaceLimits& limits) {
  std::vector<Variant> found;
  const std::vector<std::int64_t> sizes = micro_batches(layout, limits);
  const int in_node = dp_in_node(layout, target);
  const bool can_shard_in_node = limits.shard_in_node && in_node > 1 && in_node < layout.dp && layout.dp % in_node == 0;
  for (int zero = 0; zero <= 3; ++zero) {
    if (!limits.zero[static_cast<std::size_t>(zero)]) continue;
    if (layout.pp > 1 && zero > limits.max_zero_with_pp) continue;
    for (int shard : {0, zero == 3 && can_shard_in_node ? in_node : -1}) {
      for (Offload offload : limits.offload) {
        if (shard < 0 || !allows(zero, offload)) continue;
        if (shard > 0 && layout.ep > 1 && limits.experts_among_replicas) continue;
        const bool alone = layout.dp * layout.cp * layout.ulysses == 1;
        if (alone && zero > 0 && offload == Offload::kNone && limits.zero[0]) continue;  // the same as stage 0
        for (Recompute recompute : limits.recompute) {
          for (const std::int64_t b : sizes) found.push_back({zero, shard, offload, recompute, b});
        }
      }
    }
  }
  return found;
}

Plan with_variant(const Plan& layout, const Variant& variant) {
  Plan plan = layout;
  plan.zero = variant.zero;
  plan.shard = variant.shard;
  plan.offload = variant.offload;
  plan.recompute = variant.recompute;
  plan.micro_batch = variant.micro_batch;
  return plan;
}

std::vector<int> gpu_counts(const SystemSpec& system, int max_gpus) {
  const int node = std::max(system.gpus_per_node, 1);
  std::vector<int> counts;
  for (int n = 1; n < node && n <= max_gpus; n *= 2) counts.push_back(n);
  for (int nodes = 1; nodes <= max_gpus / node; ++nodes) {
    const int grain = std::max(1, static_cast<int>(std::bit_floor(static_cast<unsigned>(nodes)) / 16));
    if (nodes % grain == 0) counts.push_back(nodes * node);
  }
  if (max_gpus >= node && counts.back() != max_gpus / node * node) counts.push_back(max_gpus / node * node);
  return counts;
}

std::string_view to_string(Offload offload) { return kOffloads[static_cast<std::size_t>(offload)].second; }

Offload offload_from_name(std::string_view name) {
  std::vector<std::string_view> known;
  for (const auto& [offload, text] : kOffloads) {
    if (text == name) return offload;
    known.push_back(text);
  }
  throw Error(ErrorKind::kConfig, fmt::format("there is no offload '{}'{}; there are {}", printable(name),
                                              suggestion(name, known), fmt::join(known, ", ")));
}

}  // namespace shardscope
