// What the device itself does.

#include <fmt/format.h>

#include <cmath>

#include "profiler/diagnose/diagnose.h"
#include "profiler/diagnose/words.h"

namespace shardscope {
namespace {

double of_family(const std::map<WorkFamily, double>& all, WorkFamily family) {
  const auto found = all.find(family);
  return found == all.end() ? 0 : found->second;
}

/// That device's time which a trial takes away.
ReplayChange without(WorkFamily family, double factor) {
  ReplayChange change;
  change.of_work = [family, factor](const WorkOp& op) {
    const bool same = op.activity != Activity::kCommunication && work_family(op.kind, op.name) == family;
    return same ? factor : 1.0;
  };
  return change;
}

void layouts(const RunFacts& facts, std::vector<Trouble>& findings) {
  const double cost = of_family(facts.family_s, WorkFamily::kLayout);
  if (cost < kLeastShare * facts.step_s) return;
  Trouble f{.rule = "layout_changes", .cost_s = cost};
  f.what = fmt::format("Kernels that only change the order of elements take {} ms of a step ({}).", ms_text(cost),
                       share_text(cost, facts.step_s));
  for (const KernelTime& k : facts.kernels) {
    if (k.kind != "kernel" || work_family(k.kind, k.name) != WorkFamily::kLayout) continue;
    f.evidence.push_back(
        fmt::format("{} {:.4g} times a step", name_text(k.name), static_cast<double>(k.count) / facts.rank_steps()));
    if (f.evidence.size() == 2) break;
  }
  f.advice =
      "keep tensors in the order that the kernels want: memory_format=torch.channels_last for convolutions, no "
      "permute().contiguous() between layers.";
  f.trials.push_back({"one layout", {}, without(WorkFamily::kLayout, 0), "they were not there"});
  findings.push_back(std::move(f));
}

void optimizer(const RunFacts& facts, std::vector<Trouble>& findings) {
  const double cost = facts.seconds(TimePart::kOptimizer),
               count = of_family(facts.family_count, WorkFamily::kOptimizer);
  if (cost < 0.1 * facts.step_s) return;
  Trouble f{.rule = "optimizer", .cost_s = cost};
  f.what = fmt::format("The optimizer takes {} ms of a step ({}).", ms_text(cost), share_text(cost, facts.step_s));
  if (count > 0) f.evidence.push_back(fmt::format("{:.4g} kernels a step", count));
  f.advice = "more tokens for each step (gradient accumulation), a fused optimizer, or its state sharded over ranks.";
  if (facts.has_job()) {
    const double stage = facts.setting("deepspeed.zero_optimization.stage").value_or(0);
    if (stage == 0) f.trials.push_back({"ZeRO stage 1", {"zero.stage=1"}, {}, ""});
  }
  findings.push_back(std::move(f));
}

/// Products that stay far below the peak, where their work and the peak are known.
void slow_products(const RunFacts& facts, std::vector<Trouble>& findings) {
  constexpr double kFar = 0.4;
  double slow_s = 0, lost_s = 0;
  const KernelTime* worst = nullptr;
  const double steps = facts.rank_steps();
  for (const KernelTime& k : facts.kernels) {
    if (work_family(k.kind, k.name) != WorkFamily::kMatmul || !k.flops_per_s || facts.roof.flops_per_s <= 0) continue;
    const double of_peak = *k.flops_per_s / facts.roof.flops_per_s;
    if (of_peak > kFar || k.bound == "memory") continue;
    slow_s += k.total_s / steps, lost_s += k.total_s / steps * (1 - of_peak / kFar);
    if (worst == nullptr) worst = &k;
  }
  if (worst == nullptr || lost_s < 2 * kLeastShare * facts.step_s) return;
  Trouble f{.rule = "slow_products", .cost_s = lost_s};
  f.what = fmt::format("Matrix products of {} ms of a step reach less than {:.0f} % of the peak.", ms_text(slow_s),
                       100 * kFar);
  f.evidence.push_back(fmt::format("{} {}: {:.3g} TFLOP/s, {} of the peak", worst->kind, name_text(worst->name),
                                   1e-12 * *worst->flops_per_s,
                                   share_text(*worst->flops_per_s, facts.roof.flops_per_s)));
  f.advice = "larger products: a larger micro-batch, less tensor parallelism, sizes that are multiples of 64.";
  findings.push_back(std::move(f));
}

void recomputation(const RunFacts& facts, std::vector<Trouble>& findings) {
  if (facts.recompute_s < 0.05 * facts.step_s) return;
  Trouble f{.rule = "recomputation", .cost_s = facts.recompute_s};
  f.what = fmt::format("Activations are computed again in backward: {} ms of a step ({}).", ms_text(facts.recompute_s),
                       share_text(facts.recompute_s, facts.step_s));
  if (facts.limit_bytes > 0) {
    f.evidence.push_back(fmt::format("the fullest device holds {} of {}",
                                     size_text(static_cast<double>(facts.peak_bytes)),
                                     size_text(static_cast<double>(facts.limit_bytes))));
  }
  f.advice = "keep activations of some layers, if the memory is there.";
  if (facts.has_job()) {
    f.trials.push_back({"recompute = selective", {"recompute=selective"}, {}, ""});
    f.trials.push_back({"recompute = none", {"recompute=none"}, {}, ""});
  }
  findings.push_back(std::move(f));
}

/// A device that its power or heat holds below the clock that it had at other moments.
void slowed(const RunFacts& facts, std::vector<Trouble>& findings) {
  if (facts.slowed.empty()) return;
  const SlowedDevice& worst = facts.slowed.front();
  if (worst.max_mhz <= 0) return;
  const double factor = worst.mean_mhz / worst.max_mhz,
               cost = (1 - factor) * (facts.seconds(TimePart::kCompute) + facts.seconds(TimePart::kOptimizer));
  if (cost < kLeastShare * facts.step_s) return;
  Trouble f{.rule = "slowed_device", .cost_s = cost};
  f.what = fmt::format("Devices run below their clock: {} MHz in the mean, {} at best.", std::lround(worst.mean_mhz),
                       std::lround(worst.max_mhz));
  for (const SlowedDevice& d : facts.slowed) {
    f.evidence.push_back(fmt::format("device {} of rank {}: held down {:.0f} % of the time by {}", d.device, d.rank,
                                     100 * d.share,
                                     d.power && d.hardware ? "its power limit and the hardware (heat, supply)"
                                     : d.power             ? "its power limit"
                                                           : "the hardware (heat, supply)"));
    if (f.evidence.size() == 3) break;
  }
  f.advice = "look at cooling and power limits (nvidia-smi -q -d PERFORMANCE,POWER).";
  ReplayChange full;
  full.of_work = [factor](const WorkOp& op) { return op.activity == Activity::kCommunication ? 1.0 : factor; };
  f.trials.push_back({"full clock", {}, full, "they kept their best clock"});
  findings.push_back(std::move(f));
}

}  // namespace

void device_rules(const RunFacts& facts, std::vector<Trouble>& findings) {
  layouts(facts, findings);
  optimizer(facts, findings);
  slow_products(facts, findings);
  recomputation(facts, findings);
  slowed(facts, findings);
}

}  // namespace shardscope
