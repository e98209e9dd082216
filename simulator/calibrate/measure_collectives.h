#pragma once
// Times the thread communicator: every collective, by ranks and bytes, all ranks at once.

#include <string>
#include <vector>

#include "simulator/machine.h"

namespace shardscope {

/// The curves of all collectives among `ranks` threads. Each point is the lower quartile of a few batches of calls
/// back to back, so that all ranks are there.
std::vector<CollectiveCurve> measure_collectives(int ranks);

}  // namespace shardscope
