#pragma once
// What to start a plan with: the configuration of its framework, a launch line, and a job file that `shardscope
// predict` and `whatif` read.
//
//   for (const auto& [name, text] : plan_files(case)) ...    // "ds_config.json", "job.json", "megatron.args",
//   "launch.sh"

#include <string>
#include <utility>
#include <vector>

#include "simulator/planner/plan_case.h"

namespace shardscope {

using NamedText = std::pair<std::string, std::string>;

/// ds_config.json and job.json always; megatron.args or torchtitan.toml where the framework is one that reads it;
/// launch.sh with a torchrun and an srun line.
std::vector<NamedText> plan_files(const PlanCase&, double tokens);

std::string ds_config_text(const PlanCase&);
std::string job_text(const PlanCase&);
std::string megatron_arguments(const PlanCase&, double tokens);
std::string torchtitan_text(const PlanCase&, double tokens);
std::string launch_text(const PlanCase&);

/// Writes into a folder, made if need be. Error{kIo}.
void write_files(const std::string& folder, const std::vector<NamedText>&);

}  // namespace shardscope
