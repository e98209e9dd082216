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
/// many ranks as cores: tens of milliseconds of matrix products, a meeting, again. Needs no more than `cores` busy
/// cores.
Curve measure_core_capacity(const BackendFactory& make_backend, int cores, const std::vector<int>& rank_counts);

/// What a collective of each of these numbers of ranks takes longer, in seconds, when every rank computes meanwhile and
/// there is no core left for it: the scheduler lets its threads wait. Beyond its fair share of the cores.
Curve measure_crowded_meetings(const BackendFactory& make_backend, const Machine& machine,
                               const std::vector<int>& rank_counts);

}  // namespace shardscope
