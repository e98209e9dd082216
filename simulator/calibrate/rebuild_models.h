#pragma once
// A Machine some of whose models are changed: their seconds multiplied along a line, and exactly known where an op was
// measured.

#include <map>
#include <vector>

#include "simulator/calibrate/cost_key.h"
#include "simulator/calibrate/robust_line.h"

namespace shardscope {

/// Of one model: seconds become exp(line at ln(work)) times what they were, at a measured op `factor` times.
struct ModelChange {
  RobustLine line;
  struct Point {
    CostPlace place;
    double factor = 1;
  };
  std::vector<Point> points;
};
using ModelChanges = std::map<CostKey, ModelChange>;

/// `ranks`: of the run. `everywhere`: a change of a model goes to the same model at other numbers of threads or ranks
/// too; otherwise only to those that the machine did not have.
Machine rebuild_models(const Machine& machine, const ModelChanges& changes, int ranks, bool everywhere);

}  // namespace shardscope
