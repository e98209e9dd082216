#pragma once
// A plan and the same plan with something set differently: what each change costs and saves, term by term.
//
//   PlanCase changed = base;
//   apply_settings(changed, {"links.nic_gbps=800", "zero.stage=3"}, catalog);
//   for (const WaterfallStep& step : waterfall(estimate_case(base), estimate_case(changed))) ...

#include <string>
#include <vector>

#include "simulator/planner/plan_case.h"

namespace shardscope {

/// "KEY=VALUE" each. Sizes of the layout keep the number of GPUs (dp follows) but where gpus or dp is set itself.
/// Throws Error{kConfig}: unknown keys with the nearest, values with what would be right.
void apply_settings(PlanCase&, const std::vector<std::string>& assignments, const HardwareCatalog&);

struct SettingKey {
  std::string_view name, meaning;
};
std::vector<SettingKey> setting_keys();  ///< for --help

struct WaterfallStep {
  TimeTerm term = TimeTerm::kMatmul;
  double from = 0, to = 0;  ///< seconds of the term
  double change() const { return to - from; }
};
/// Terms that changed by more than a thousandth of the step, largest change first; what is left out sums to `rest`.
struct Waterfall {
  double from = 0, to = 0, rest = 0;
  std::vector<WaterfallStep> steps;
};
Waterfall make_waterfall(const Estimate& from, const Estimate& to);

/// One line per step with a bar of # characters; ends with the new step time.
std::string waterfall_text(const Waterfall&);

}  // namespace shardscope
