#pragma once
// What a selected op waited for, as arrows between spans of its rank: of our own runs from the program, whose ops name
// those that must have ended; of other programs' runs from the launch of a kernel to the kernel. No Qt.
//
//   std::vector<FlowArrow> arrows = load_flow(timeline, {track, span}, facts.flow);

#include <vector>

#include "profiler/query/timeline.h"
#include "simulator/like/op_facts.h"

namespace shardscope::gui {

struct FlowArrow {
  TiedSpan from, to;  ///< from the end of one to the start of the other
};

/// `flow`: pairs of ops of the program, who is waited for and who waits; empty: only launches are looked for.
std::vector<FlowArrow> load_flow(const Timeline& timeline, const TiedSpan& selected, const std::vector<FlowEdge>& flow);

}  // namespace shardscope::gui
