#pragma once
// Which send of one rank and which receive of another are the two ends of one transfer, in a step's graph; and which
// shifts of a ring belong together.
//
//   match_transfers(orders, queues, graph);   // adds to graph.calls

#include <map>
#include <utility>
#include <vector>

#include "profiler/query/op_order.h"
#include "profiler/query/step_graph.h"

namespace shardscope {

using Orders = std::map<int, OpOrder>;  ///< by rank

/// `queues`: of each node. Of ends that profiles name, in order; of others by when they end, if that is near enough. A
/// shift of a ring is taken to wait for all of its ranks, as it does between threads.
void match_transfers(const Orders& orders, const std::vector<std::pair<int, int>>& queues, StepGraph& graph);

}  // namespace shardscope
