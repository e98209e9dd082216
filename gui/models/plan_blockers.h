#pragma once
// Where no plan is left: what stands in the way, and the nearest that there would be. No Qt.
//
//   result.problem = conflict_text(request, found, wishes);
//   for (const PlanBlocker& b : find_blockers(inputs, catalog, stop)) ...   // "without tp 8: 64 x h100-sxm, ..."

#include <functional>
#include <string>
#include <vector>

#include "gui/models/plan_result.h"
#include "simulator/planner/constraints.h"

namespace shardscope::gui {

/// One line: the planner's, in the words of a window instead of the command line's options. Empty if nothing conflicts.
std::string conflict_text(const SearchRequest&, const SearchResult&, const Wishes&);

/// Each input that alone stands in the way: the search again without it.
std::vector<PlanBlocker> find_blockers(const PlanInputs&, const HardwareCatalog&, const std::function<bool()>& stop);

/// The fixed inputs and wishes, each with its text: "tp 8", "≤ 30 days".
std::vector<PlanChip> active_inputs(const PlanInputs&);

}  // namespace shardscope::gui
