#pragma once
// What `predict` says beside numbers: how far off such predictions were, and --explain.
//
//   const Interval interval = interval_of("megatron", 64, step_time_s);
//   fmt::print("{}{}", interval_text(interval), explanation_text(explain(...)));

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/spec/job.h"
#include "simulator/analytic/explain.h"
#include "simulator/planner/intervals.h"
#include "simulator/planner/plan_case.h"

namespace shardscope::cli {

/// P10 to P90 of a predicted step time, from what published runs of the framework and size took; it holds the
/// prediction.
struct Interval {
  double low_s = 0, median_s = 0, high_s = 0;
  std::string source;  ///< "published / predicted step time of 173 runs of megatron: ..."
};
Interval interval_of(std::string_view framework, int gpus, double step_time_s);
std::string interval_text(const Interval&);

Explanation explain(const PlanCase&);
std::string explanation_text(const Explanation&);
/// {"time": [{"term", "seconds", "share", "text"}], "memory", "sensitivities", "constants"}.
nlohmann::ordered_json explanation_json(const Explanation&);

/// `predict --framework`: a job as that framework would run it, by the closed form alone. Prints.
struct FrameworkOptions {
  std::string framework;
  bool json = false, explain = false;
  double expert_imbalance = 1;
};
void predict_framework(const Job&, const FrameworkOptions&);

}  // namespace shardscope::cli
