#pragma once
// The ranks of this process as threads: what every kind of run (training, generation) starts and ends with.
//
//   run_ranks(hub, [&](int rank) { ... });   // throws what the first rank to fail met

#include <cstdint>
#include <functional>

#include "core/engine/backend.h"
#include "core/engine/hub.h"

namespace shardscope {

/// f(rank) for each local rank of the hub, on a thread of its own; returns when all have. If one throws, every rank of
/// the run is stopped, and the first real cause is thrown with its rank in the text (PeerStopped in a process that does
/// not speak()).
void run_ranks(Hub& hub, const std::function<void(int rank)>& f);

/// Compute threads of each local rank: `wanted`, or with 0 its share of the cores.
int threads_per_rank(int wanted, const Hub& hub);

/// Waits until no lane works any more, after a failure: lanes still use what is about to go.
void wait_for_lanes(Backend& backend);

/// Bytes of this process in RAM now; 0 if the system does not say.
std::int64_t resident_bytes();

}  // namespace shardscope
