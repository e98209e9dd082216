#pragma once
// A plan in a few words, for tables and tips.
//
//   layout_text(plan)   // "dp 8 tp 4+sp pp 2x3"
//   zero_text(plan)     // "3/8 optimizer-cpu"
//   format_amount(54512.3)  // "54512"

#include <string>

#include "simulator/analytic/plan.h"

namespace shardscope {

/// Sizes of 1 are left out, but dp.
std::string layout_text(const Plan&);

/// Stage, ranks that share one copy if not all, offload if any.
std::string zero_text(const Plan&);

/// Three digits at least and never an exponent: energy, power, CO2.
std::string format_amount(double value);
std::string format_tokens(double tokens);  ///< "15 T", "300 B"

}  // namespace shardscope
