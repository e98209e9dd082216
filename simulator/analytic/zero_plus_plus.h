#pragma once
// ZeRO-3's gathers and reductions of a part of the model, and what ZeRO++ makes of them: kernels and collectives in the
// order in which core/program/passes/zero_gather.cpp and zero_quantize.cpp lower them.
//
//   const ShardMoves moves(network, gpu, framework, plan, {shards, near});
//   moves.gather(parameters, shards).seconds, moves.regather(parameters).seconds
//
// hpz: backward gathers from copies inside a group. quantized_weights: gathers in int8. quantized_gradients:
// all-to-alls in int4, inside a group first. Their scales go apart. Units: elements of the whole part, bytes, seconds.

#include <string>

#include "simulator/analytic/framework.h"
#include "simulator/analytic/gpu_model.h"
#include "simulator/analytic/network_model.h"
#include "simulator/analytic/plan.h"

namespace shardscope {

/// One after the other; `links`, `nics`: the seconds that all of a rank's would be busy.
struct Moved {
  double seconds = 0, links = 0, nics = 0;
};

/// Ranks that share the state, and those among them that hold a second copy, or sum first; 1: no such.
struct ShardGroups {
  Placement shards, near;
  Placement across() const { return {shards.ranks / near.ranks, shards.stride * near.ranks}; }
};

/// `node`: neighbours of the group in a node. Our own engine sums in one hop where no hpz says what is near.
ShardGroups shard_groups(const Plan&, const FrameworkSpec&, Placement shards, double node);

class ShardMoves {
 public:
  ShardMoves(const NetworkModel& network, const GpuModel& gpu, const FrameworkSpec& framework, const Plan& plan,
             const ShardGroups& groups)
      : network_(network), gpu_(gpu), framework_(framework), plan_(plan), groups_(groups) {}

  Moved gather(double elements, Placement) const;
  Moved regather(double elements) const;  ///< of what is not dealt out, in backward
  double unpack(double elements) const;   ///< seconds of what ends a gather in int8; 0: it is not
  double keep(double elements) const;     ///< seconds of making the second copy, once a step
  Moved reduce(double elements, Placement) const;
  double pack_in_one(double elements) const;  ///< of what is dealt out
  double pack(double elements) const;         ///< seconds of what begins a reduction in int4; 0: it is not
  Moved reduce(double elements) const;        ///< of what is not dealt out: in two hops where there are two

  /// Of links or NICs that one of the two lanes draws, so that both at once take share * (gather + reduction) at least.
  double share(double elements) const;

 private:
  void move(Moved&, Exchange, double bytes, Placement) const;
  void kernel(Moved& m, double bytes) const { m.seconds += gpu_.traffic(bytes); }
  void hop(Moved&, double elements, Placement) const;
  double ordered(double elements) const;
  bool hops() const { return groups_.near.ranks > 1 && groups_.near.ranks < groups_.shards.ranks; }

  const NetworkModel& network_;
  const GpuModel& gpu_;
  const FrameworkSpec& framework_;
  const Plan& plan_;
  ShardGroups groups_;
};

/// Bytes of the second copy of so many elements; 0 without one.
double second_copy_bytes(const Plan&, const FrameworkSpec&, double elements);

/// Beside whole parameters, when they are gathered in int8.
double gather_buffer_bytes(const Plan&, double elements);

/// Beside whole gradients, when they are reduced in int4. `hops`: first in the order of their owners.
double reduce_buffer_bytes(const Plan&, const FrameworkSpec&, double elements, bool hops);

/// "", or what of ZeRO++ the plan cannot have.
std::string find_zero_plus_plus_problem(const Plan&);

/// "", or why nobody knows what the framework would do.
std::string find_framework_problem(const FrameworkSpec&, const Plan&);

}  // namespace shardscope
