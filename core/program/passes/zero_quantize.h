#pragma once
// ZeRO++: fewer bytes between ranks. Weights are gathered in int8 (qwZ), gradients reduced in int4 by all-to-alls,
// within a node first (qgZ). A second copy of the weights within a node (hpZ) is zero_gather's.

#include "core/program/passes/zero.h"

namespace shardscope {

/// Elements that share one scale.
inline constexpr std::int64_t kQuantizeGroup = 2048;

/// Gathers every rank's `shard` into `whole` on the gather lane: as it is, or in int8 where the job says so.
void gather_shards(ZeroContext& context, Emitter& emit, GroupId group, Region shard, Region whole,
                   const std::string& name);

/// Leaves this rank's slice of the group's sum of `whole` in `out` on the reduce lane: by a reduce-scatter, or in int4
/// where the job says so: an all-to-all within the node, a sum, another one across nodes where there are several
/// (experts' in one hop).
void reduce_to_slice(ZeroContext& context, Emitter& emit, const Chunk& chunk, Region whole, Region out,
                     const std::string& name);

}  // namespace shardscope
