#pragma once
// A plan with all it stands on: model, device, framework. As JSON it is what `plan --json` prints of each point, and
// what `whatif` reads again; a job file gives one too.
//
//   nlohmann::ordered_json json = plan_case_json(c);                  // "gpu", "gpus", "dp", ..., "model"
//   PlanCase base = parse_plan_case(text, "plan.json", -1, catalog);  // the recommended point
//   PlanCase base = plan_case_of(load_job("job.json", {}), catalog);

#include <nlohmann/json.hpp>
#include <string>

#include "core/spec/job.h"
#include "simulator/analytic/estimate.h"

namespace shardscope {

class JsonReader;

/// All that an estimate needs.
struct PlanCase {
  std::string model;  ///< name in the catalog, or path of a config.json
  Workload workload;
  Target target;
  FrameworkSpec framework;
  Plan plan;
};

Estimate estimate_case(const PlanCase&);  ///< Error{kConfig} with find_plan_problem()'s reason if the plan is not legal

/// A plan alone, without its global batch; read_plan() reads it again, and throws Error with file and key.
nlohmann::ordered_json plan_json(const Plan&);
Plan read_plan(const JsonReader&);

nlohmann::ordered_json plan_case_json(const PlanCase&);

/// One plan, or the output of `plan --json`: its point number `point`, -1 the recommended. Throws Error with file and
/// key.
PlanCase parse_plan_case(const std::string& json_text, const std::string& file_name, int point, const HardwareCatalog&);
/// Has "pareto" or "gpu"; a job file has not. Throws Error{kParse} if it is no JSON.
bool is_plan_case(const std::string& json_text, const std::string& file_name);

/// `job_file`'s cluster is one of the catalog ("dgx-h100:32") or a cluster file; Error{kConfig} if it has none.
PlanCase plan_case_of(const Job& job, const HardwareCatalog&);

/// dp * tp * pp * cp * ulysses, as a double: sizes that a user gave may be large.
double ranks_of(const Plan&);

Arithmetic trained_arithmetic(std::string_view name);  ///< bf16, fp16, fp8, fp4, tf32, fp32; Error{kConfig} lists them
Recompute recompute_from_name(std::string_view name);  ///< none, selective, full; likewise

}  // namespace shardscope
