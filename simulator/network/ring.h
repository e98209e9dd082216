#pragma once
// Collectives over the links of a cluster: rings over the slowest link that the group crosses.

#include <span>
#include <string_view>

#include "core/spec/cluster_spec.h"
#include "core/units.h"

namespace shardscope {

/// The slowest link a ring through these global ranks crosses: the NIC if they are on several nodes.
LinkSpec slowest_link(const ClusterSpec& cluster, std::span<const int> ranks);

/// Formula:   all_gather, reduce_scatter, all_to_all: (R - 1) (latency + bytes / R / bandwidth); all_reduce: twice that
///            (a reduce-scatter and an all-gather); broadcast, ring_shift, send, recv: latency + bytes / bandwidth.
/// Units:     bytes as collective_bytes() counts them; bandwidth one way per device; one latency per ring step.
/// Leaves out: trees and NVLS, launch of the kernel, protocol changes by size, links shared with other traffic.
/// Source:    NVIDIA/nccl-tests doc/PERFORMANCE.md for the bandwidth terms; one latency per step is ours.
/// Checked:   by hand for R = 1, 2, 4 in ring_test.cpp.
Seconds ring_time(std::string_view op, int ranks, Bytes size, const LinkSpec& link);

}  // namespace shardscope
