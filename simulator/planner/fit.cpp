#include "simulator/planner/fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace shardscope {
namespace {

double gigabytes(double bytes) { return bytes / 1e9; }

bool needs_drive(Offload o) { return o == Offload::kOptimizerNvme || o == Offload::kParametersNvme; }

/// Leaves a twentieth of the device, as what `plan` recommends does.
bool is_safe(const FitRow& r, const Target& target) {
  return r.fits && headroom_level(r.estimate.used, target.gpu.memory.value) >= 1;
}

/// The fastest variant of one stage and offload of those that fit safely, or else that fit; if none does, that of the
/// least memory.
std::optional<FitRow> best_row(Estimator& estimator, const Plan& layout, const std::vector<Variant>& variants, int zero,
                               Offload offload) {
  std::optional<FitRow> best;
  for (const Variant& v : variants) {
    if (v.zero != zero || v.offload != offload || v.shard != 0) continue;
    const Plan plan = with_variant(layout, v);
    FitRow row{plan, estimator.estimate(plan), false, {}};
    row.problem = find_memory_problem(row.estimate, estimator.target(), plan.gpus);
    row.fits = row.problem.empty();
    const auto rank = [&](const FitRow& r) {
      return std::tuple(!r.fits, !is_safe(r, estimator.target()), r.fits ? r.estimate.step_time_s : r.estimate.used);
    };
    if (!best || rank(row) < rank(*best)) best = row;
  }
  return best;
}

/// Fewest changes of the layout that make it fit: tensor or pipeline parallelism on the same GPUs, then more GPUs.
std::vector<std::string> find_advice(const Candidate& c, int gpus, std::int64_t global_batch) {
  std::vector<std::string> advice;
  SearchRequest request{.candidates = {c}, .max_gpus = gpus, .global_batch = global_batch};
  request.candidates[0].counts = {gpus};
  const SearchResult here = search(request);
  if (const PlanPoint* p = best_point(here.pareto, Objective::kTime)) {
    advice.push_back(fmt::format(
        "tp {} pp {} cp {} with ZeRO {}, micro-batch {}, recompute {}, offload {}: {:.1f} GB, {:.2f} s a step",
        p->plan.tp, p->plan.pp, p->plan.cp * p->plan.ulysses, p->plan.zero, p->plan.micro_batch,
        to_string(p->plan.recompute), to_string(p->plan.offload), gigabytes(p->estimate.used),
        p->estimate.step_time_s));
  }
  for (const int more : gpu_counts(c.target.system, 4096)) {
    if (more <= gpus) continue;
    request.candidates[0].counts = {more};
    request.max_gpus = more;
    const SearchResult there = search(request);
    if (there.pareto.empty()) continue;
    const PlanPoint* p = best_point(there.pareto, Objective::kTime);
    advice.push_back(fmt::format("{} GPUs instead of {}: ZeRO {}, tp {}, pp {}, {:.2f} s a step", more, gpus,
                                 p->plan.zero, p->plan.tp, p->plan.pp, p->estimate.step_time_s));
    break;
  }
  if (c.workload.seq >= 2048) {
    request.candidates[0].counts = {gpus};
    request.candidates[0].workload.seq /= 2;
    if (!search(request).pareto.empty()) advice.push_back(fmt::format("sequences of {} tokens", c.workload.seq / 2));
  }
  return advice;
}

std::string reason(const FitTable& table, const Target& target) {
  const FitRow& best = table.rows[*table.recommended];
  const bool safe = is_safe(best, target);
  const FitRow* second = nullptr;
  for (const FitRow& row : table.rows) {
    if (&row == &best || !row.fits || is_safe(row, target) != safe) continue;
    if (second == nullptr || row.estimate.step_time_s < second->estimate.step_time_s) second = &row;
  }
  const std::string_view fits =
      safe ? "fits with 5 % of the device left" : "fits, with less than 5 % of the device left";
  if (second == nullptr) return fmt::format("the only one that {}", fits);
  const double slower = second->estimate.step_time_s / best.estimate.step_time_s - 1;
  return fmt::format(
      "the {} that {}; next is ZeRO {}{} at {:+.1f} %", slower > 0.01 ? "fastest" : "simplest of the fastest", fits,
      second->plan.zero,
      second->plan.offload == Offload::kNone ? std::string() : fmt::format(" with {}", to_string(second->plan.offload)),
      100 * slower);
}

}  // namespace

std::string find_memory_problem(const Estimate& e, const Target& target, int all_gpus) {
  const SystemSpec& system = target.system;
  const double gpus = std::min(all_gpus, std::max(system.gpus_per_node, 1));
  if (!e.fits) return fmt::format("{:.1f} GB too much for the GPU", gigabytes(e.used - target.gpu.memory.value));
  if (e.host_bytes * gpus > system.host_memory.value) {
    return fmt::format("{:.0f} GB too much for the host", gigabytes(e.host_bytes * gpus - system.host_memory.value));
  }
  if (e.nvme_bytes > 0 && system.nvme.value <= 0) return "the node has no drive";
  if (e.nvme_bytes * gpus > system.nvme.value) {
    return fmt::format("{:.0f} GB too much for the drives", gigabytes(e.nvme_bytes * gpus - system.nvme.value));
  }
  return "";
}

FitTable fit(const Candidate& candidate, int gpus, std::int64_t global_batch) {
  FitTable table;
  const Plan layout{.gpus = gpus, .dp = gpus, .global_batch = global_batch};
  SpaceLimits limits;  // all stages and offloads, also what the framework's own limits leave out
  limits.max_micro_batch = 64;
  std::vector<Variant> variants = list_variants(layout, candidate.target, limits);
  Estimator estimator(candidate.workload, candidate.target, candidate.framework);
  for (int zero = 0; zero <= 3; ++zero) {
    for (Offload offload : limits.offload) {
      if (needs_drive(offload) && candidate.target.system.nvme.value <= 0) continue;
      if (const auto row = best_row(estimator, layout, variants, zero, offload)) table.rows.push_back(*row);
    }
  }
  const Target& target = candidate.target;
  const bool any_safe =
      std::any_of(table.rows.begin(), table.rows.end(), [&](const FitRow& r) { return is_safe(r, target); });
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    if (!table.rows[i].fits || (any_safe && !is_safe(table.rows[i], target))) continue;
    const double bar = table.recommended ? 0.99 * table.rows[*table.recommended].estimate.step_time_s : 1e300;
    if (table.rows[i].estimate.step_time_s < bar) table.recommended = i;
  }
  if (table.recommended) {
    table.why = reason(table, target);
  } else {
    table.advice = find_advice(candidate, gpus, global_batch);
  }
  return table;
}

}  // namespace shardscope
