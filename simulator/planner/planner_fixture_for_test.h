#pragma once
// Workloads and targets for the planner's tests: real models and systems of the catalogs.

#include <string_view>

#include "core/spec/hardware.h"
#include "core/spec/model_catalog.h"
#include "simulator/planner/search.h"

namespace shardscope {

inline Target target_for_test(std::string_view system_name) {
  const HardwareCatalog catalog = default_catalog();
  const SystemSpec& system = find_system(catalog, system_name);
  return {find_gpu(catalog, system.gpu), system, find_fabric(catalog, system.fabric)};
}

inline Workload workload_for_test(std::string_view model, std::int64_t seq) {
  Workload workload;
  workload.model = find_model(model);
  workload.seq = seq;
  return workload;
}

inline Candidate candidate_for_test(std::string_view model, std::int64_t seq, std::string_view system,
                                    std::string_view framework) {
  Candidate c;
  c.workload = workload_for_test(model, seq);
  c.target = target_for_test(system);
  c.framework = find_framework(default_frameworks(), framework);
  c.limits = limits_of(c.framework);
  c.run.tokens = 1e9;
  c.run.usd_per_gpu_hour = 2;
  return c;
}

}  // namespace shardscope
