#pragma once
// Times the thread communicator: every collective, by ranks and bytes, all ranks at once.

#include <string>
#include <vector>

#include "core/engine/trainer.h"
#include "simulator/machine.h"

namespace shardscope {

/// The curves of all collectives among `ranks` threads. Each point is the lower quartile of a few batches of calls
/// back to back, so that all ranks are there.
std::vector<CollectiveCurve> measure_collectives(int ranks);

/// Cores' worth of work that each of these numbers of single-threaded ranks do together on `cores` cores, against as
/// many ranks as cores: a few milliseconds of matrix products, a meeting, again. Needs no more than `cores` busy cores.
Curve measure_core_capacity(const BackendFactory& make_backend, int cores, const std::vector<int>& rank_counts);

}  // namespace shardscope
