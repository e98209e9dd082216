#include "simulator/planner/search.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <tuple>

#include "core/check.h"
#include "simulator/planner/bounds.h"

namespace shardscope {
namespace {

constexpr std::int64_t kReportEvery = 1 << 16;

/// What plans of one candidate and number of GPUs differ in: days and cost go by the step's time, energy by its joules.
struct Marks {
  double seconds = 0, joules = 0;
  int comfort = 0;
};

/// `b` is no better in anything.
bool covers(const Marks& a, const Marks& b) {
  return a.seconds <= b.seconds && a.joules <= b.joules && a.comfort >= b.comfort;
}

struct Found {
  Plan plan;
  Estimate estimate;
  Marks marks;
};

/// What threads share.
struct Shared {
  const SearchRequest& request;
  std::mutex mutex;
  std::atomic<bool> stop{false};
  std::atomic<std::int64_t> searched{0};
  std::atomic<double> work_done{0};
  double work = 0;

  void report(std::int64_t more) {
    const std::int64_t all = searched.fetch_add(more) + more;
    if (!request.progress) return;
    const std::lock_guard lock(mutex);
    if (!stop && !request.progress({std::min(1.0, work_done / std::max(work, 1.0)), all})) stop = true;
  }
};

/// All plans of one candidate on one number of GPUs.
class Task {
 public:
  Task(std::size_t candidate, int gpus) : candidate_(candidate), gpus_(gpus) {}

  void run(Shared& shared, Estimator& estimator);

  std::size_t candidate() const { return candidate_; }
  int gpus() const { return gpus_; }
  const std::vector<Found>& front() const { return front_; }
  std::int64_t searched() const { return searched_; }
  std::int64_t estimated() const { return estimated_; }

 private:
  struct State {  // what variants of one recomputation and micro-batch differ in
    int zero, shard;
    Offload offload;
  };
  void search_layout(const Plan& layout, const std::vector<Variant>& variants);
  void search_variant(const Plan& plan, double& floor);
  bool covered(const Marks& marks) const;
  void add(const Plan& plan, const Estimate& estimate, const Marks& marks);
  Marks least(double seconds, const Plan& plan) const;

  std::size_t candidate_;
  int gpus_;
  const SearchRequest* request_ = nullptr;
  const PlanBounds* bounds_ = nullptr;
  Estimator* estimator_ = nullptr;
  std::vector<Found> front_;
  std::int64_t searched_ = 0, estimated_ = 0;
  bool last_fits_ = false;
};

/// Joules of the plan's GPUs during a step: those of waiting, and what kernels take beyond.
Marks Task::least(double seconds, const Plan& plan) const {
  const Candidate& c = request_->candidates[candidate_];
  Estimate idle, busy;
  idle.step_time_s = busy.step_time_s = busy[TimeTerm::kMatmul] = 1;
  const double waiting = watts_per_gpu(c.run, c.target, idle), working = watts_per_gpu(c.run, c.target, busy);
  const double joules = waiting * seconds + (working - waiting) * std::min(seconds, bounds_->kernel_seconds(plan));
  return {seconds, joules * gpus_, 2};
}

bool Task::covered(const Marks& marks) const {
  return std::any_of(front_.begin(), front_.end(), [&](const Found& f) { return covers(f.marks, marks); });
}

void Task::add(const Plan& plan, const Estimate& estimate, const Marks& marks) {
  if (covered(marks)) return;
  front_.erase(std::remove_if(front_.begin(), front_.end(), [&](const Found& f) { return covers(marks, f.marks); }),
               front_.end());
  front_.push_back({plan, estimate, marks});
}

/// `floor`: seconds that plans of this layout, recomputation and micro-batch take whatever their state; 0: not known
/// yet.
void Task::search_variant(const Plan& plan, double& floor) {
  const Candidate& c = request_->candidates[candidate_];
  const double memory = c.target.gpu.memory.value;
  last_fits_ = true;
  if (request_->bounds) {
    if (floor > 0 && covered(least(floor, plan))) return;
    if (bounds_->bytes(plan) > memory) {
      last_fits_ = false;
      return;
    }
  }
  const Estimate estimate = estimator_->estimate(plan);
  ++estimated_;
  if (floor == 0) floor = seconds_without_state(plan, estimate);
  last_fits_ = estimate.fits;
  if (!estimate.fits || !fits_host(estimate, c.target, plan.gpus)) return;
  const double joules = watts_per_gpu(c.run, c.target, estimate) * estimate.step_time_s * gpus_;
  add(plan, estimate, {estimate.step_time_s, joules, headroom_level(estimate.used, memory)});
}

/// Variants in groups of one recomputation and micro-batch; within each state (zero, shard, offload) micro-batches
/// grow, and one that does not fit ends them: memory grows with the micro-batch. Not so our own engine's: where there
/// is only one micro-batch, its gradients come when activations are going.
void Task::search_layout(const Plan& layout, const std::vector<Variant>& variants) {
  searched_ += static_cast<std::int64_t>(variants.size());
  if (request_->bounds && covered(least(bounds_->step_time(layout), layout))) return;
  constexpr int kRecomputes = 3, kSizes = 64;
  std::array<std::array<double, kSizes>, kRecomputes> floors{};
  int size = 0;
  bool too_large = false;
  const std::int64_t first = request_->candidates[candidate_].limits.first_micro_batch();
  for (const Variant& variant : variants) {
    if (variant.micro_batch == first) size = 0, too_large = false;
    const Plan plan = with_variant(layout, variant);
    const int place = size++;
    if (too_large && request_->bounds) continue;
    double& floor = floors[static_cast<std::size_t>(variant.recompute)][static_cast<std::size_t>(place)];
    if (floor == 0 && request_->bounds && covered(least(bounds_->step_time(plan), plan))) continue;
    if (!find_plan_problem(estimator_->workload(), estimator_->target(), plan).empty()) continue;
    search_variant(plan, floor);
    too_large = !last_fits_ && !estimator_->framework().engine;
  }
}

void Task::run(Shared& shared, Estimator& estimator) {
  request_ = &shared.request;
  estimator_ = &estimator;
  const Candidate& c = request_->candidates[candidate_];
  const PlanBounds bounds(c.workload, c.target, c.framework);
  bounds_ = &bounds;
  std::vector<Plan> layouts = list_layouts(c.workload, c.target, gpus_, request_->global_batch, c.limits);
  std::stable_sort(layouts.begin(), layouts.end(),
                   [&](const Plan& a, const Plan& b) { return bounds.step_time(a) < bounds.step_time(b); });
  std::int64_t reported = 0;
  for (const Plan& layout : layouts) {
    if (shared.stop) break;
    search_layout(layout, list_variants(layout, c.target, c.limits));
    if (searched_ - reported < kReportEvery) continue;
    shared.report(searched_ - reported);
    reported = searched_;
  }
  shared.work_done.store(shared.work_done + gpus_);
  shared.report(searched_ - reported);
}

std::vector<Task> list_tasks(const SearchRequest& request) {
  std::vector<Task> tasks;
  for (std::size_t i = 0; i < request.candidates.size(); ++i) {
    const Candidate& c = request.candidates[i];
    for (int gpus : c.counts.empty() ? gpu_counts(c.target.system, request.max_gpus) : c.counts)
      tasks.emplace_back(i, gpus);
  }
  // The longest first, so that no thread ends much later than the others.
  std::stable_sort(tasks.begin(), tasks.end(), [](const Task& a, const Task& b) { return a.gpus() > b.gpus(); });
  return tasks;
}

void run_tasks(Shared& shared, std::vector<Task>& tasks) {
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    std::vector<std::optional<Estimator>> estimators(shared.request.candidates.size());
    for (std::size_t i = next++; i < tasks.size() && !shared.stop; i = next++) {
      const Candidate& c = shared.request.candidates[tasks[i].candidate()];
      std::optional<Estimator>& estimator = estimators[tasks[i].candidate()];
      if (!estimator) estimator.emplace(c.workload, c.target, c.framework);
      tasks[i].run(shared, *estimator);
    }
  };
  std::vector<std::thread> threads;
  for (int t = 1; t < shared.request.threads; ++t) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
}

/// Order of points that equal each other in what matters.
auto order(const PlanPoint& p) {
  return std::tuple(p.run.days, p.run.cost_usd, p.run.energy_kwh, -p.comfort, p.candidate, p.plan.gpus);
}

std::vector<PlanPoint> front_of(std::vector<PlanPoint> points) {
  std::stable_sort(points.begin(), points.end(), [](const auto& a, const auto& b) { return order(a) < order(b); });
  std::vector<PlanPoint> front;
  for (PlanPoint& p : points) {
    if (std::none_of(front.begin(), front.end(), [&](const PlanPoint& f) { return dominates(f, p); })) {
      front.push_back(std::move(p));
    }
  }
  return front;
}

/// The least memory is at the most sharding, full recomputation and one sequence: only these are looked at.
std::optional<PlanPoint> find_nearest(const SearchRequest& request) {
  std::optional<PlanPoint> nearest;
  double least = 0;
  for (std::size_t i = 0; i < request.candidates.size(); ++i) {
    const Candidate& c = request.candidates[i];
    const std::vector<int> counts = c.counts.empty() ? gpu_counts(c.target.system, request.max_gpus) : c.counts;
    if (counts.empty()) continue;
    Estimator estimator(c.workload, c.target, c.framework);
    for (const Plan& layout : list_layouts(c.workload, c.target, counts.back(), request.global_batch, c.limits)) {
      for (const Variant& variant : list_variants(layout, c.target, c.limits)) {
        const Plan plan = with_variant(layout, variant);
        if (variant.micro_batch > c.limits.first_micro_batch() ||
            !find_plan_problem(c.workload, c.target, plan).empty())
          continue;
        const Estimate estimate = estimator.estimate(plan);
        const double over = estimate.used / c.target.gpu.memory.value;
        if (!fits_host(estimate, c.target, plan.gpus)) continue;
        if (nearest && over >= least) continue;
        least = over;
        nearest = PlanPoint{i, plan, estimate, run_cost(c.run, c.workload, c.target, plan, estimate), 0};
      }
    }
  }
  return nearest;
}

}  // namespace

std::string_view to_string(Objective objective) {
  constexpr std::array<std::string_view, 3> kNames{"cost", "time", "energy"};
  return kNames[static_cast<std::size_t>(objective)];
}

double PlanPoint::objective(Objective objective) const {
  if (objective == Objective::kTime) return run.days;
  return objective == Objective::kCost ? run.cost_usd : run.energy_kwh;
}

int headroom_level(double used, double memory) {
  const double left = 1 - used / memory;
  return left >= 0.10 ? 2 : left >= 0.05 ? 1 : 0;
}

bool dominates(const PlanPoint& a, const PlanPoint& b) {
  return a.run.days <= b.run.days && a.run.cost_usd <= b.run.cost_usd && a.run.energy_kwh <= b.run.energy_kwh &&
         a.comfort >= b.comfort;
}

bool fits_host(const Estimate& estimate, const Target& target, int gpus) {
  const double in_node = std::min(gpus, std::max(target.system.gpus_per_node, 1));
  return estimate.host_bytes * in_node <= target.system.host_memory.value &&
         estimate.nvme_bytes * in_node <= target.system.nvme.value;
}

const PlanPoint* best_point(const std::vector<PlanPoint>& points, Objective objective,
                            const std::function<bool(const PlanPoint&)>& within) {
  const PlanPoint* best = nullptr;
  for (const PlanPoint& p : points) {
    if (within && !within(p)) continue;
    const auto rank = [&](const PlanPoint& q) { return std::tuple(q.objective(objective), q.run.days); };
    if (best == nullptr || rank(p) < rank(*best)) best = &p;
  }
  return best;
}

const PlanPoint* recommended_point(const std::vector<PlanPoint>& points, Objective objective) {
  constexpr double kAsGood = 1.05;
  const auto safe = [](const PlanPoint& p) { return p.comfort >= 1; };
  const bool any_safe = std::any_of(points.begin(), points.end(), safe);
  const auto allowed = [&](const PlanPoint& p) { return !any_safe || safe(p); };
  const PlanPoint* best = best_point(points, objective, allowed);
  if (best == nullptr) return nullptr;
  const double most = kAsGood * best->objective(objective);
  return best_point(points, objective == Objective::kTime ? Objective::kCost : Objective::kTime,
                    [&](const PlanPoint& p) { return allowed(p) && p.objective(objective) <= most; });
}

SearchResult search(const SearchRequest& request) {
  SS_CHECK(request.threads >= 1, request.threads);
  const auto start = std::chrono::steady_clock::now();
  std::vector<Task> tasks = list_tasks(request);
  Shared shared{request};
  for (const Task& task : tasks) shared.work += task.gpus();
  run_tasks(shared, tasks);

  SearchResult result;
  result.cancelled = shared.stop;
  std::vector<PlanPoint> points;
  for (const Task& task : tasks) {
    const Candidate& c = request.candidates[task.candidate()];
    result.searched += task.searched();
    result.estimated += task.estimated();
    if (task.front().empty()) continue;
    Estimator estimator(c.workload, c.target, c.framework);
    for (const Found& f : task.front()) {
      points.push_back(
          {task.candidate(), f.plan, f.estimate, run_cost(c.run, estimator, f.plan, f.estimate), f.marks.comfort});
    }
  }
  result.pareto = front_of(std::move(points));
  if (result.pareto.empty() && !result.cancelled) result.nearest = find_nearest(request);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace shardscope
