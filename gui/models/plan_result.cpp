#include "gui/models/plan_result.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <tuple>

#include "gui/models/plan_blockers.h"
#include "simulator/planner/fit.h"
#include "simulator/planner/intervals.h"
#include "simulator/planner/plan_text.h"
#include "simulator/planner/survey.h"

namespace shardscope::gui {
namespace {

Wishes wishes_of(const PlanInputs& in) {
  Wishes wishes;
  if (in.deadline_days > 0) wishes.deadline_days = in.deadline_days;
  if (in.budget_usd > 0) wishes.budget_usd = in.budget_usd;
  return wishes;
}

/// Fills in all that follows from the point; it has an estimate.
PlanDot dot_of(const SearchRequest& request, const PlanPoint& point) {
  const Candidate& c = request.candidates[point.candidate];
  PlanDot dot{.point = point};
  const IntervalRow& interval = find_interval(default_intervals(), c.framework.name, point.plan.gpus);
  dot.low = interval.from(), dot.high = interval.to();
  dot.problem = find_memory_problem(point.estimate, c.target, point.plan.gpus);
  dot.fits = dot.problem.empty();
  return dot;
}

/// Estimates configurations, with one estimator per candidate.
class Estimates {
 public:
  explicit Estimates(const SearchRequest& request) : request_(request), estimators_(request.candidates.size()) {}

  PlanDot dot(const AdaptedPlan& adapted) {
    PlanDot dot{.point = {adapted.candidate, adapted.plan, {}, {}, 0}, .problem = adapted.problem};
    dot.legal = adapted.problem.empty();
    if (!dot.legal) return dot;
    const Candidate& c = request_.candidates[adapted.candidate];
    std::optional<Estimator>& estimator = estimators_[adapted.candidate];
    if (!estimator) estimator.emplace(c.workload, c.target, c.framework);
    PlanPoint& p = dot.point;
    p.estimate = estimator->estimate(p.plan);
    p.run = run_cost(c.run, *estimator, p.plan, p.estimate);
    p.comfort = headroom_level(p.estimate.used, c.target.gpu.memory.value);
    return dot_of(request_, p);
  }

 private:
  const SearchRequest& request_;
  std::vector<std::optional<Estimator>> estimators_;
};

bool is_same(const PlanPoint& a, const PlanPoint& b) { return a.candidate == b.candidate && a.plan == b.plan; }

/// Adds the dot if no other is of the same plan.
void add_dot(PlanResult& result, PlanDot dot) {
  const bool known = std::any_of(result.dots.begin(), result.dots.end(),
                                 [&](const PlanDot& d) { return is_same(d.point, dot.point); });
  if (!known) result.dots.push_back(std::move(dot));
}

/// What the user holds on to is there, whatever a search finds.
void add_kept(PlanResult& result, const PlanState& state, Estimates& estimates) {
  for (const PlanKey& key : state.pinned) add_dot(result, estimates.dot(adapt(key, state.inputs, result.request)));
  if (state.chosen) add_dot(result, estimates.dot(adapt(*state.chosen, state.inputs, result.request)));
}

/// The points that nothing beats come first, by days.
void mark_front(std::vector<PlanDot>& dots) {
  const auto by_days = [](const PlanDot& d) {
    return std::tuple(!d.fits, d.point.run.days, d.point.run.cost_usd, d.point.run.energy_kwh, -d.point.comfort);
  };
  std::stable_sort(dots.begin(), dots.end(), [&](const auto& a, const auto& b) { return by_days(a) < by_days(b); });
  std::vector<const PlanDot*> front;
  for (PlanDot& d : dots) {
    d.front = d.fits &&
              std::none_of(front.begin(), front.end(), [&](const PlanDot* f) { return dominates(f->point, d.point); });
    if (d.front) front.push_back(&d);
  }
  std::stable_partition(dots.begin(), dots.end(), [](const PlanDot& d) { return d.front; });
}

/// Front, wishes, recommendation: what all dots together say.
void conclude(PlanResult& result, const PlanInputs& in) {
  mark_front(result.dots);
  const Wishes wishes = wishes_of(in);
  std::vector<PlanPoint> good;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < result.dots.size(); ++i) {
    PlanDot& d = result.dots[i];
    d.meets = d.legal && wishes.hold(d.point);
    if (!d.front || !d.meets) continue;
    good.push_back(d.point);
    places.push_back(i);
  }
  const PlanPoint* best = recommended_point(good, in.objective);
  result.recommended.reset();
  if (best != nullptr) result.recommended = places[static_cast<std::size_t>(best - good.data())];
}

}  // namespace

PlanResult evaluate(const PlanState& state, const HardwareCatalog& catalog, const EvaluateOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  PlanResult result{.request = make_request(state.inputs, catalog)};
  result.request.threads = options.threads;
  result.request.progress = options.progress;
  const SearchResult found = search(result.request);
  result.searched = found.searched, result.cancelled = found.cancelled;
  for (const PlanPoint& p : found.pareto) result.dots.push_back(dot_of(result.request, p));
  const auto stop = [&] { return options.progress && !options.progress({1, result.searched}); };
  if (options.survey && !result.cancelled) {
    for (const SurveyPoint& p : survey(result.request, {.counts = 8, .stop = stop}))
      add_dot(result, dot_of(result.request, p.point));
  }
  Estimates estimates(result.request);
  add_kept(result, state, estimates);
  conclude(result, state.inputs);
  if (!result.recommended && !result.cancelled) {
    result.problem = conflict_text(result.request, found, wishes_of(state.inputs));
    result.blockers = find_blockers(state.inputs, catalog, stop);
  }
  result.request.progress = {};
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

PlanResult revise(const PlanResult& before, const PlanState& state, const HardwareCatalog& catalog) {
  PlanResult result{.request = make_request(state.inputs, catalog)};
  Estimates estimates(result.request);
  for (const PlanDot& d : before.dots) {
    const AdaptedPlan adapted = adapt(key_of(before.request, d.point), state.inputs, result.request);
    if (adapted.problem.empty()) add_dot(result, estimates.dot(adapted));
  }
  add_kept(result, state, estimates);
  conclude(result, state.inputs);
  result.searched = before.searched, result.seconds = before.seconds;
  if (!result.recommended) result.problem = before.problem, result.blockers = before.blockers;
  return result;
}

const PlanDot* find_dot(const PlanResult& result, const PlanKey& key) {
  const auto found = std::find_if(result.dots.begin(), result.dots.end(), [&](const PlanDot& d) {
    Plan plan = d.point.plan;
    plan.global_batch = key.plan.global_batch;
    if (!(plan == key.plan)) return false;
    const Candidate& c = result.request.candidates[d.point.candidate];
    return c.target.system.name == key.system && c.framework.name == key.framework;
  });
  return found == result.dots.end() ? nullptr : &*found;
}

const PlanDot* chosen_dot(const PlanResult& result, const PlanState& state) {
  if (state.chosen && !result.request.candidates.empty()) {
    const AdaptedPlan a = adapt(*state.chosen, state.inputs, result.request);
    if (const PlanDot* dot = find_dot(result, key_of(result.request, {a.candidate, a.plan, {}, {}, 0}))) return dot;
  }
  if (result.recommended) return &result.dots[*result.recommended];
  return result.dots.empty() ? nullptr : &result.dots.front();
}

PlanCase case_of(const PlanResult& result, const PlanDot& dot, const PlanInputs& inputs) {
  const Candidate& c = result.request.candidates[dot.point.candidate];
  return {inputs.model, c.workload, c.target, c.framework, dot.point.plan};
}

Relief relief_of(const PlanResult& result, const PlanDot& dot) {
  const Candidate& c = result.request.candidates[dot.point.candidate];
  return find_relief(c.workload, c.target, c.framework, dot.point.plan);
}

std::string name_of(const PlanResult& result, const PlanDot& dot) {
  const Candidate& c = result.request.candidates[dot.point.candidate];
  return fmt::format("{} x {}, {}, ZeRO {}", dot.point.plan.gpus, c.target.gpu.name, layout_text(dot.point.plan),
                     zero_text(dot.point.plan));
}

}  // namespace shardscope::gui
