#include "gui/models/pair_load.h"

#include "gui/models/other_run.h"

namespace shardscope::gui {
namespace {

/// A prediction is called what it is where its run stands beside it.
std::string base_name(const RunRow& run, const RunRow& base) {
  return base.predicted && !run.predicted && base.name == run.name ? "its prediction" : name_of(base);
}

}  // namespace

Waterfall load_waterfall(const RunIn& run, const RunIn& base, const WaterfallState& state) {
  const RunAlignment alignment = align_runs(run.profile, run.run.id, base.profile, base.run.id);
  const StepDifference difference = step_difference(run.profile, run.run.id, base.profile, base.run.id, alignment,
                                                    {.rank = state.rank, .step = state.step});
  return make_waterfall(difference,
                        {name_of(run.run), base_name(run.run, base.run), run.run.predicted, base.run.predicted}, state);
}

ScatterData load_scatter(const RunIn& measured, const RunIn& predicted) {
  return {op_calibration(measured.profile, measured.run.id, predicted.profile, predicted.run.id),
          name_of(measured.run),
          {}};
}

}  // namespace shardscope::gui
