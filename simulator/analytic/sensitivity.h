#pragma once
// What a step's time hangs on: the estimate again with one part of the hardware, or the host, a little faster.
//
//   for (const Sensitivity& s : find_sensitivities(workload, target, framework, plan)) ...   // "+10 % NIC": -0.03
//
// Error{kConfig} where nothing would change the step: a time that hangs on nothing is no prediction.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/analytic/estimate.h"

namespace shardscope {

/// A rate of the hardware that an answer is asked for.
struct HardwareKnob {
  std::string_view name;  ///< "NIC"
  std::string_view idle;  ///< why it changes nothing, where it does not
  void (*scale)(Target&, double factor);
};
std::span<const HardwareKnob> hardware_knobs();

struct Sensitivity {
  std::string name;   ///< "+10 % NIC", "micro-batch x 2"
  double change = 0;  ///< of the time of a step: -0.03
  std::string why;    ///< why nothing changes, or what does not work: "dp 8 x micro-batch 2 do not divide ..."
  bool legal = true;  ///< false: could not be tried
};

/// The plan must be legal, the step's time finite and above 0: Error{kConfig}.
std::vector<Sensitivity> find_sensitivities(const Workload&, const Target&, const FrameworkSpec&, const Plan&,
                                            const Constants& = default_constants());

}  // namespace shardscope
