#include "simulator/validate/validation.h"

#include <fmt/format.h>

#include <cmath>

#include "simulator/analytic/gpu_model.h"

namespace shardscope {
namespace {

std::optional<double> relative(std::optional<double> published, double predicted) {
  if (!published) return std::nullopt;
  return predicted / *published - 1;
}

double log_error(double predicted, std::optional<double> published) {
  return published ? std::abs(std::log(predicted / *published)) : 0;
}

/// What a row leaves open is varied, and the nearest to what was measured counts: the run was one of them. It ran, so
/// what does not fit is the last choice.
bool is_nearer(const Estimate& a, const Estimate& b, const ValidatedRow& row) {
  if (a.fits != b.fits) return a.fits;
  const auto distance = [&](const Estimate& e) {
    return log_error(e.step_time_s, row.published_step_time_s) +
           log_error(predicted_gib(e, row.memory_kind), row.published_mem_gb);
  };
  return distance(a) < distance(b);
}

/// Plans that the closed form takes; the reason of the first that it does not, if none is left.
void drop_illegal_plans(RowSetup& setup) {
  std::string why;
  std::erase_if(setup.plans, [&](const Plan& plan) {
    const std::string problem = find_plan_problem(setup.workload, setup.target, plan);
    if (why.empty()) why = problem;
    return !problem.empty();
  });
  if (setup.plans.empty()) setup.skipped = why;
}

/// A rate of which a GPU's peak is less than half is of another unit, or of all GPUs together.
std::string find_impossible(const ValidatedRow& row) {
  const Workload& w = row.setup.workload;
  if (!row.published_step_time_s) return "";
  const double tokens = static_cast<double>(row.plan.global_batch) * static_cast<double>(w.seq);
  const double flops = 6 * static_cast<double>(active_parameter_count(w.model)) * tokens / row.plan.gpus;
  const double peak = GpuModel(row.setup.target.gpu, {}).peak(w.arithmetic);
  if (flops <= 2 * peak * *row.published_step_time_s) return "";
  return fmt::format("published: a step of {:.4g} s is {:.0f} TFLOP/s of each GPU, whose peak is {:.0f}: another unit?",
                     *row.published_step_time_s, flops / *row.published_step_time_s / 1e12, peak / 1e12);
}

}  // namespace

std::optional<double> ValidatedRow::step_time_error() const {
  return predicted() ? relative(published_step_time_s, estimate.step_time_s) : std::nullopt;
}

std::optional<double> ValidatedRow::mem_error() const {
  return predicted() ? relative(published_mem_gb, predicted_mem_gb()) : std::nullopt;
}

ValidatedRow prepare_row(const PublishedRun& run, const HardwareCatalog& catalog) {
  ValidatedRow row{.run = run, .setup = set_up_row(run, catalog)};
  row.published_mem_gb = run.mem_gb_per_gpu;
  row.memory_kind = memory_kind_of(run);
  if (row.predicted()) drop_illegal_plans(row.setup);
  if (!row.predicted()) {
    row.published_step_time_s = run.step_time_s;
    return row;
  }
  row.plan = row.setup.plans.front();
  row.published_step_time_s = published_step_time(run, row.setup.workload, row.setup.target.gpu, row.plan);
  if (std::string why = find_impossible(row); !why.empty()) row.setup.skipped = std::move(why);
  return row;
}

void predict_row(ValidatedRow& row, const Constants& constants) {
  if (!row.predicted()) return;
  Estimator estimator(row.setup.workload, row.setup.target, row.setup.framework, constants);
  for (const Plan& plan : row.setup.plans) {
    const Estimate estimate = estimator.estimate(plan);
    if (&plan == &row.setup.plans.front() || is_nearer(estimate, row.estimate, row))
      row.estimate = estimate, row.plan = plan;
  }
  if (!std::isfinite(row.estimate.step_time_s) || row.estimate.step_time_s <= 0) {
    row.setup.skipped = fmt::format("the prediction came out as {} s", row.estimate.step_time_s);
  }
}

Validation validate(const PublishedRuns& table, const HardwareCatalog& catalog, const Constants& constants) {
  Validation result{.broken = table.broken};
  result.rows.reserve(table.runs.size());
  for (const PublishedRun& run : table.runs) {
    result.rows.push_back(prepare_row(run, catalog));
    ValidatedRow& row = result.rows.back();
    predict_row(row, constants);
    if (row.setup.plans.size() > 1) {
      row.setup.assumed.push_back(
          fmt::format("recompute: {}, the nearest of {} tried", to_string(row.plan.recompute), row.setup.plans.size()));
    }
  }
  return result;
}

}  // namespace shardscope
