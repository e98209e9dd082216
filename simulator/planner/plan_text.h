#pragma once
// A plan in a few words, for tables and tips.
//
//   layout_text(plan)   // "dp 8 tp 4+sp pp 2x3"
//   zero_text(plan)     // "3/8 optimizer-cpu"

#include <string>

#include "simulator/analytic/plan.h"

namespace shardscope {

/// Sizes of 1 are left out, but dp.
std::string layout_text(const Plan&);

/// Stage, ranks that share one copy if not all, offload if any.
std::string zero_text(const Plan&);

}  // namespace shardscope
