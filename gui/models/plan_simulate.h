#pragma once
// A configuration of the Plan view as a run to look at: its job lowered and simulated, one rank of each class, into a
// profile of its own. No Qt.
//
//   SimulatedPlan run = simulate_plan(case_of(result, dot, inputs), tokens, catalog, folder, progress);
//   open(run.path)                                  // a predicted run: timeline, memory
//
// Plans of other frameworks are simulated as our own program of the same layout: its tensors, not theirs.

#include <functional>
#include <string>

#include "simulator/planner/plan_case.h"

namespace shardscope::gui {

struct SimulatedPlan {
  std::string path;  ///< of the profile
  double step_time_s = 0;
  int ranks = 0;          ///< that have rows: one of each class
  int micro_batches = 0;  ///< the first ones, of a longer schedule; 0: all of the step
};

/// Throws Error: what our engine does not run, a folder that cannot be written, a stop.
SimulatedPlan simulate_plan(const PlanCase& plan_case, double tokens, const HardwareCatalog& catalog,
                            const std::string& folder, const std::function<bool(double done)>& progress);

}  // namespace shardscope::gui
