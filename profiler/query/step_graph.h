#pragma once
// What waited for what in one step, on all ranks: the measured step as a graph. The critical path (critical_path.h)
// walks it backward, a replay (replay.h) runs it again with something changed.
//
//   StepGraphSource source(profile, run.id);
//   StepGraph graph = source.graph(12);
//   graph.nodes[graph.last].held_by
//
// What a piece of work was held up by is what ended last of: what its queue did before, the call that launched it, what
// it waits for on other queues of its device, and of a collective the last rank to come. Of runs of ours the program
// says what waits for what (op_order.h). Files of other programs hold times alone: there it is taken to be what another
// queue ended last, unless its own queue or its launch ended just before. A call of the host comes after the one before
// it, and returns, if it synchronizes, when the device has done what it waits for.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "profiler/query/align_clocks.h"
#include "profiler/query/collective_waits.h"
#include "profiler/query/rank_work.h"
#include "profiler/query/time_breakdown.h"

namespace shardscope {

/// A piece of work of a device, or a call of a host. Indices are into StepGraph::nodes; -1: none.
struct StepNode {
  int rank = 0;
  bool on_device = true;
  std::int32_t op = 0;
  std::int64_t step = -1;              ///< that it was recorded with; -1: none
  TimePart part = TimePart::kCompute;  ///< what its time is
  TimeWindow time;                     ///< by the common clock
  std::int64_t wait_ns = 0;            ///< of a collective: until the last rank came
  std::int32_t previous = -1;          ///< of its queue; of a call: the one before it, on any thread
  std::int32_t launch = -1;            ///< the call that launched it
  std::vector<std::int32_t> others;    ///< of other queues of the device: what it waits for; a guess: one at most
  bool is_order_known = false;         ///< by the program: `others` are no guess
  std::int32_t synchronizes = -1;      ///< of a call: the work of the device that it waits for
  std::int32_t call = -1;              ///< of a collective that was matched: index into StepGraph::calls
  std::int32_t held_by = -1;           ///< that of the above which held it up until it began
};

/// A collective, or a send and its receive: its part on each rank.
struct GraphCall {
  std::vector<std::int32_t> nodes;
  std::int32_t last = -1;  ///< that began last
};

struct StepGraph {
  std::int64_t step = 0;
  TimeWindow time;              ///< from where its first rank begins to where its last ends, by the common clock
  std::int32_t last = -1;       ///< under way, or ended last, at its end, on a rank that ends last
  std::vector<StepNode> nodes;  ///< by begin
  std::vector<GraphCall> calls;
  std::map<int, std::vector<TimeWindow>> data;  ///< by rank: in which its host read batches
  std::map<int, std::vector<WorkOp>> ops;       ///< by rank
  bool has_host = false;                        ///< calls were recorded
  const WorkOp& op(const StepNode& node) const { return ops.at(node.rank)[static_cast<std::size_t>(node.op)]; }
};

/// What all graphs of a run share: matched collectives, clocks. Profile must outlive it.
class StepGraphSource {
 public:
  StepGraphSource(const Profile& profile, std::int64_t run);
  const RunSteps& steps() const { return steps_; }
  /// The counted step of median length; nothing if there are no steps.
  std::optional<std::int64_t> usual_step() const;
  /// Throws Error{kConfig} if no rank has the step.
  StepGraph graph(std::int64_t step) const;

 private:
  const Profile& profile_;
  std::int64_t run_;
  RunSteps steps_;
  std::map<int, RankClock> clocks_;
  std::map<int, std::vector<WaitedCall>> waits_;  ///< by rank, by start
};

/// Finds `previous`, `synchronizes`, `held_by` and, where their order is not known, `others` of nodes that have all
/// else, by begin, each in its queue; and `last`, on one of the ranks that end last.
void tie_nodes(StepGraph& graph, const std::vector<std::pair<int, int>>& queues, const std::set<int>& last_ranks);

}  // namespace shardscope
