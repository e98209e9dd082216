#include "simulator/planner/constraints.h"

#include <fmt/format.h>

#include <algorithm>

#include "simulator/planner/plan_text.h"

namespace shardscope {
namespace {

std::string name_of(const SearchRequest& request, const PlanPoint& p) {
  return fmt::format("{} x {}", p.plan.gpus, request.candidates[p.candidate].target.gpu.name);
}

/// Of at most 8 times as many GPUs, the fewest that keep to the deadline.
std::string larger_cluster(const SearchRequest& request, const Wishes& wishes) {
  for (int times = 2; times <= 8; times *= 2) {
    SearchRequest larger = request;
    larger.max_gpus = request.max_gpus * times;
    larger.progress = {};
    for (Candidate& c : larger.candidates) {
      std::vector<int> counts;
      for (const int n : gpu_counts(c.target.system, larger.max_gpus)) {
        if (n > larger.max_gpus / 2) counts.push_back(n);
      }
      c.counts = counts;
    }
    const SearchResult found = search(larger);
    if (const PlanPoint* p =
            best_point(found.pareto, Objective::kCost, [&](const PlanPoint& q) { return wishes.hold(q); })) {
      return fmt::format("; {} would take {} for {}", name_of(request, *p), format_days(p->run.days),
                         format_usd(p->run.cost_usd));
    }
  }
  return "";
}

/// Whether offload is among what was tried.
bool offloads(const SearchRequest& request) {
  return std::any_of(request.candidates.begin(), request.candidates.end(),
                     [](const Candidate& c) { return c.limits.offload.size() > 1; });
}

std::string no_fit(const SearchRequest& request, const SearchResult& result) {
  if (!result.nearest) {
    return fmt::format(
        "no layout is legal: the global batch {} and up to {} GPUs leave none; try another --global-batch or "
        "--max-gpus",
        request.global_batch, request.max_gpus);
  }
  const PlanPoint& p = *result.nearest;
  const Candidate& c = request.candidates[p.candidate];
  return fmt::format(
      "{} fits on none of the GPUs, up to {} of them; nearest is {}, {}: {}, ZeRO {}, "
      "recompute {}: {:.1f} GB of {:.1f}; try more --max-gpus, larger GPUs{}",
      c.workload.model.name, request.max_gpus, name_of(request, p), c.framework.name, layout_text(p.plan),
      zero_text(p.plan), to_string(p.plan.recompute), p.estimate.used / 1e9, c.target.gpu.memory.value / 1e9,
      offloads(request) ? " or more host memory" : ", or a framework with offload (deepspeed)");
}

/// Below this part of the time that does something, a run gets nowhere: failures outrun restarts.
constexpr double kLeastGoodput = 0.01;

std::string no_progress(const SearchRequest& request, const PlanPoint& best) {
  const RunOptions& run = request.candidates[best.candidate].run;
  return fmt::format(
      "--mtbf-hours {:g}: {} fail every {:.0f} s and take {:.0f} s to restart and {:.0f} s for a checkpoint: {:.1g} % "
      "of the time is left for training; a longer --mtbf-hours, shorter --restart-minutes or fewer GPUs would help",
      run.gpu_mtbf_hours, name_of(request, best), run.gpu_mtbf_hours * 3600 / best.plan.gpus, run.restart_s,
      best.run.checkpoint_s, 100 * best.run.goodput);
}

}  // namespace

bool Wishes::hold(const PlanPoint& p) const {
  if (p.run.goodput < kLeastGoodput) return false;
  return (!deadline_days || p.run.days <= *deadline_days) && (!budget_usd || p.run.cost_usd <= *budget_usd);
}

std::vector<PlanPoint> keep(const std::vector<PlanPoint>& points, const Wishes& wishes) {
  std::vector<PlanPoint> kept;
  std::copy_if(points.begin(), points.end(), std::back_inserter(kept),
               [&](const PlanPoint& p) { return wishes.hold(p); });
  return kept;
}

std::string find_conflict(const SearchRequest& request, const SearchResult& result, const Wishes& wishes) {
  if (result.pareto.empty()) return no_fit(request, result);
  const PlanPoint& steadiest =
      *std::max_element(result.pareto.begin(), result.pareto.end(),
                        [](const PlanPoint& a, const PlanPoint& b) { return a.run.goodput < b.run.goodput; });
  if (steadiest.run.goodput < kLeastGoodput) return no_progress(request, steadiest);
  if (std::any_of(result.pareto.begin(), result.pareto.end(), [&](const PlanPoint& p) { return wishes.hold(p); }))
    return "";
  const PlanPoint& fastest = *best_point(result.pareto, Objective::kTime);
  const PlanPoint& cheapest = *best_point(result.pareto, Objective::kCost);
  if (wishes.deadline_days && fastest.run.days > *wishes.deadline_days) {
    return fmt::format("--deadline {} cannot be met: the fastest plan, {}, takes {} for {}{}",
                       format_days(*wishes.deadline_days), name_of(request, fastest), format_days(fastest.run.days),
                       format_usd(fastest.run.cost_usd), larger_cluster(request, {wishes.deadline_days, {}}));
  }
  if (wishes.budget_usd && cheapest.run.cost_usd > *wishes.budget_usd) {
    return fmt::format("--budget {} is too small: the cheapest plan, {}, costs {} in {}",
                       format_usd(*wishes.budget_usd), name_of(request, cheapest), format_usd(cheapest.run.cost_usd),
                       format_days(cheapest.run.days));
  }
  const PlanPoint& in_time = *best_point(result.pareto, Objective::kCost, [&](const PlanPoint& p) {
    return Wishes{wishes.deadline_days, {}}.hold(p);
  });
  const PlanPoint& in_budget = *best_point(result.pareto, Objective::kTime, [&](const PlanPoint& p) {
    return Wishes{{}, wishes.budget_usd}.hold(p);
  });
  return fmt::format(
      "--deadline {} and --budget {} contradict each other: within the deadline the cheapest is {} for {}, within "
      "the budget the fastest is {} in {}",
      format_days(*wishes.deadline_days), format_usd(*wishes.budget_usd), name_of(request, in_time),
      format_usd(in_time.run.cost_usd), name_of(request, in_budget), format_days(in_budget.run.days));
}

std::string format_usd(double usd) {
  if (usd >= 1e6) return fmt::format("${:.2f} M", usd / 1e6);
  if (usd >= 1e4) return fmt::format("${:.1f} k", usd / 1e3);
  return fmt::format("${:.0f}", usd);
}

std::string format_days(double days) {
  return days >= 2 ? fmt::format("{:.1f} days", days) : fmt::format("{:.1f} hours", days * 24);
}

}  // namespace shardscope
