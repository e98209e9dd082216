#pragma once
// What a published run says, as the closed form takes it. A blank field becomes the stated framework's default, and
// `assumed` says so; where recompute is blank there is a plan with each kind.
//
//   RowSetup row = set_up_row(run, default_catalog());
//   if (row.skipped.empty()) Estimator(row.workload, row.target, row.framework).estimate(row.plans[0]);

#include <string>
#include <vector>

#include "simulator/analytic/estimate.h"
#include "simulator/validate/published_runs.h"

namespace shardscope {

struct RowSetup {
  Workload workload;
  Target target;
  FrameworkSpec framework;
  std::vector<Plan> plans;
  std::vector<std::string> assumed;  ///< "micro_batch: 1"
  std::string skipped;               ///< why it cannot be predicted; empty: it can
};

/// Never throws for what a table may hold: `skipped` has the reason.
RowSetup set_up_row(const PublishedRun&, const HardwareCatalog&);

}  // namespace shardscope
