#pragma once
// What holds a plan up, and what better hardware of one kind would change: the plan estimated again with that hardware.
//
//   const Relief relief = find_relief(workload, target, framework, plan);
//   relief.bottleneck, relief.shares[i], relief.changes.front()     // "twice the NIC": -11 %

#include <string>
#include <vector>

#include "simulator/analytic/estimate.h"

namespace shardscope {

struct HardwareChange {
  std::string name;   ///< "twice the NIC"
  double change = 0;  ///< of step time: -0.11
};

struct Relief {
  TimeTerm bottleneck = TimeTerm::kMatmul;
  double share = 0;                     ///< of the step
  std::vector<HardwareChange> changes;  ///< what helps most first; all that were tried
};

Relief find_relief(const Workload&, const Target&, const FrameworkSpec&, const Plan&);

/// "data parallelism 31 % of the step; twice the NIC: -11 %, twice the NVLink: -2 %".
std::string describe(const Relief&);

}  // namespace shardscope
