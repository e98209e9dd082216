#pragma once
// What data parallelism adds to a step of our own engine: the order of its lanes as formulas, so that the closed form
// follows the event level (tests/two_levels_test.cpp).
//
//   double seconds = shown_reductions({.forward = f, .backward = b, ...}, micro_batches);
//
// Lanes run beside compute, and compute waits for them in few places (core/program/passes/zero_reduce.cpp,
// zero_gather.cpp): with overlap, when a reduction is issued, for the one before; without, for each at once. A
// collective takes `slow` of the device from kernels while it lasts.

#include <algorithm>

#include "simulator/analytic/engine_buckets.h"

namespace shardscope {

/// What collectives of `work` seconds add to `cover` seconds of kernels beside them: the kernels end at
/// cover + slow * work, or with them.
inline double added(double work, double cover, double slow) { return std::max(work - cover, slow * work); }

/// A part of the model under ZeRO-3: seconds of its passes with the collectives that they wait for, the part of them in
/// which kernels run, and of its own gather and reduce-scatter.
struct ShardedPart {
  double forward = 0, backward = 0;
  double kernels = 1;  ///< part of both
  double gather = 0, reduce = 0;
  double regather = 0;            ///< and of its gather in backward
  double fetch = 0, refetch = 0;  ///< of its shard from the host, before each of the two
  double unpack = 0;  ///< of a gather in int8: its last kernel, all that has to wait for the parameters' place
  double pack = 0;    ///< of a reduction in int4: its first kernels, which are through with the gradients then
  /// What a second of a gather (in backward: of a gather or a reduction) takes from the part's own collectives on the
  /// same links or NICs, in the mean over its passes.
  double crowding = 0, crowding_back = 0;
};

/// Of a gather that may not begin before its place is free, what shows beside `cover` seconds before that.
inline double waits_for_place(double gather, double unpack, double cover) {
  return unpack > 0 ? std::max(unpack, gather - cover) : gather;
}

struct AddedSeconds {
  double forward = 0, backward = 0;
};

struct ShardLanes {
  bool overlap = false;    ///< overlap_comm
  bool runs_ahead = true;  ///< gathers of forward do, overlap or not; else each begins `tail` before its part
  /// Two blocks may not live at once (stage3_max_live_parameters), with overlap: none is gathered ahead. With ZeRO++ a
  /// block's place is free when the one behind gives it back, `apart` from messages; else it is when that has ended.
  bool waits = false, apart = false;
  double first_product = 0;  ///< seconds of backward of a block before it needs its parameters
  double leaves = 0;         ///< part of the micro-batches whose reductions are through with the gradients once packed
  double tail = 0;
  double slow = 0;
  double share = 1;  ///< of links or NICs that a gather or a reduction draws while it is alone

  /// A gather and a reduction at once.
  double together(double a, double b) const { return std::max({a, b, share * (a + b)}); }
};

/// What a block adds whose experts are dealt out, and so gathered and reduced apart from the rest of it: each of the
/// two hides behind the other. `again`: the rest is computed again, and gathered once more for that.
AddedSeconds shown_experts(const ShardedPart& rest, const ShardedPart& experts, bool again, const ShardLanes& lanes);

/// ZeRO-3, one micro-batch: each part is gathered while the one before computes, and reduced while the next does, which
/// in backward is the one before it in the model. Embedding and head are gathered once.
AddedSeconds shown_shards(const ShardedPart& embedding, const ShardedPart& block, double blocks,
                          const ShardedPart& head, const ShardLanes& lanes);

struct Reductions {
  double forward = 0, backward = 0;         ///< seconds of one micro-batch
  double first = 0, between = 0, last = 0;  ///< seconds of reducing a bucket
  Buckets buckets;
  bool each = false;     ///< every micro-batch reduces (ZeRO-2)
  bool overlap = false;  ///< beside backward
  double slow = 0;
};

/// ZeRO-0 to 2, a whole step.
double shown_reductions(const Reductions&, double micro_batches);

}  // namespace shardscope
