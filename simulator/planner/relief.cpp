#include "simulator/planner/relief.h"

#include <fmt/format.h>

#include <algorithm>

#include "simulator/analytic/sensitivity.h"

namespace shardscope {

Relief find_relief(const Workload& workload, const Target& target, const FrameworkSpec& framework, const Plan& plan) {
  const Estimate base = Estimator(workload, target, framework).estimate(plan);
  Relief relief;
  const auto longest = std::max_element(base.seconds.begin(), base.seconds.end());
  relief.bottleneck = static_cast<TimeTerm>(longest - base.seconds.begin());
  relief.share = *longest / base.step_time_s;
  for (const HardwareKnob& knob : hardware_knobs()) {
    Target better = target;
    knob.scale(better, 2);
    const double seconds = Estimator(workload, better, framework).estimate(plan).step_time_s;
    relief.changes.push_back({fmt::format("twice the {}", knob.name), seconds / base.step_time_s - 1});
  }
  std::stable_sort(relief.changes.begin(), relief.changes.end(),
                   [](const auto& a, const auto& b) { return a.change < b.change; });
  return relief;
}

std::string describe(const Relief& relief) {
  std::string text = fmt::format("{} {:.0f} % of the step", title_of(relief.bottleneck), 100 * relief.share);
  for (std::size_t i = 0; i < relief.changes.size() && i < 2; ++i) {
    if (i > 0 && relief.changes[i].change > -0.01) break;
    text += fmt::format("{} {}: {:+.0f} %", i == 0 ? ";" : ",", relief.changes[i].name, 100 * relief.changes[i].change);
  }
  return text;
}

}  // namespace shardscope
