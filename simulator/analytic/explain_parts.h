#pragma once
// What the two halves of an explanation share (explain_time.cpp, explain_memory.cpp).

#include <string>
#include <string_view>

#include "simulator/analytic/estimate_notes.h"
#include "simulator/analytic/explain.h"

namespace shardscope {

struct Explained {
  const Workload& workload;
  const Target& target;
  const FrameworkSpec& framework;
  const Plan& plan;
  const Constants& constants;
  const Estimate& estimate;
  const EstimateNotes& notes;
};

std::vector<ExplainedTime> explain_time(const Explained&);
std::vector<ExplainedMemory> explain_memory(const Explained&);

/// "2.10 GB", "6.74 G": powers of 1000, three digits.
std::string quantity(double value, std::string_view unit);
/// "1.21 ms".
std::string duration(double seconds);
/// "32 blocks", or "3 dense blocks and 58 of experts".
std::string blocks_text(const Stage&);

}  // namespace shardscope
