#include "simulator/planner/survey.h"

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>

#include "simulator/planner/fit.h"

namespace shardscope {
namespace {

/// Evenly spaced ones, first and last among them.
std::vector<int> some_counts(const SearchRequest& request, const Candidate& c, int wanted) {
  std::vector<int> all = c.counts.empty() ? gpu_counts(c.target.system, request.max_gpus) : c.counts;
  const auto most = static_cast<std::size_t>(std::max(wanted, 2));
  if (all.size() <= most) return all;
  std::vector<int> some;
  for (std::size_t i = 0; i < most; ++i) some.push_back(all[i * (all.size() - 1) / (most - 1)]);
  return some;
}

using Stages = std::array<std::optional<SurveyPoint>, 4>;

bool is_better(const SurveyPoint& a, const SurveyPoint& b) {
  const auto rank = [](const SurveyPoint& p) {
    const Estimate& e = p.point.estimate;
    return std::tuple(!p.fits, p.fits ? e.step_time_s : e.used, e.used);
  };
  return rank(a) < rank(b);
}

/// False: stopped.
bool survey_count(const Candidate& c, std::size_t index, int gpus, std::int64_t batch, Estimator& estimator,
                  const std::function<bool()>& stop, Stages& best) {
  for (const Plan& layout : list_layouts(c.workload, c.target, gpus, batch, c.limits)) {
    if (stop && stop()) return false;
    for (const Variant& variant : list_variants(layout, c.target, c.limits)) {
      const Plan plan = with_variant(layout, variant);
      if (!find_plan_problem(c.workload, c.target, plan).empty()) continue;
      SurveyPoint p{{index, plan, estimator.estimate(plan), {}, 0}, false};
      p.fits = find_memory_problem(p.point.estimate, c.target, gpus).empty();
      auto& stage = best[static_cast<std::size_t>(plan.zero)];
      if (!stage || is_better(p, *stage)) stage = p;
    }
  }
  return true;
}

}  // namespace

std::vector<SurveyPoint> survey(const SearchRequest& request, const SurveyOptions& options) {
  std::vector<SurveyPoint> found;
  for (std::size_t i = 0; i < request.candidates.size(); ++i) {
    const Candidate& c = request.candidates[i];
    Estimator estimator(c.workload, c.target, c.framework);
    for (const int gpus : some_counts(request, c, options.counts)) {
      Stages best;
      const bool goes_on = survey_count(c, i, gpus, request.global_batch, estimator, options.stop, best);
      for (std::optional<SurveyPoint>& p : best) {
        if (!p) continue;
        p->point.run = run_cost(c.run, estimator, p->point.plan, p->point.estimate);
        p->point.comfort = headroom_level(p->point.estimate.used, c.target.gpu.memory.value);
        found.push_back(*p);
      }
      if (!goes_on) return found;
    }
  }
  return found;
}

}  // namespace shardscope
