#pragma once
// From runs to what the bar views show. Each kind of part has one colour: of a step's, here; of memory, in
// memory_looks.h.

#include <vector>

#include "gui/models/bar_chart.h"
#include "gui/models/run_summary.h"

namespace shardscope::gui {

/// Where the time of a step goes: one bar per run, its parts add up to the mean step.
BarChart step_chart(const std::vector<RunSummary>& runs);

/// Device memory of the fullest rank at its peak, by category: one bar per run.
BarChart memory_chart(const std::vector<RunSummary>& runs);

}  // namespace shardscope::gui
