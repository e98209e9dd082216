// Branches, returns, barriers of the block, fences, traps.

#include <bit>

#include "tests/cudasim/ptx/lanes.h"
#include "tests/cudasim/ptx/text.h"
#include "tests/cudasim/ptx/types.h"

namespace cudasim::ptx {

Flow branch(Warp& w, const Inst& i, u32 taken) {
  if (i.target <= w.pc) ++w.spin;
  if (taken == w.mask) {
    w.pc = i.target;
    return Flow::kMoved;
  }
  w.set_pc(w.mask & ~taken, w.pc + 1);
  w.set_pc(taken, i.target);
  w.choose();
  return Flow::kMoved;
}

Flow branch_table(Warp& w, const Inst& i, u32 mask) {
  const std::vector<u32>& targets = w.block->kernel->tables[i.target];
  const u32* index = w.row<u32>(i.a);
  w.set_pc(w.mask & ~mask, w.pc + 1);
  each_lane(mask, [&](int l) {
    if (index[l] >= targets.size()) fault(w, i, cudaErrorLaunchFailure, "the index is outside of the branch's table");
    w.lane_pc[l] = targets[index[l]];
  });
  w.choose();
  return Flow::kMoved;
}

namespace {

Flow leave(Warp& w, const Inst&, u32 mask) {
  w.exited |= mask;
  w.set_pc(w.mask & ~mask, w.pc + 1);
  w.choose();
  return Flow::kMoved;
}

/// Each thread arrives for itself.
Flow block_barrier(Warp& w, const Inst&, u32 mask) {
  w.set_pc(w.mask, w.pc + 1);
  w.barred |= mask;
  w.choose();
  return Flow::kMoved;
}

enum Vote : u16 { kCount, kEvery, kSome };

/// bar.red: b the predicate, flag: negated; aux: the vote.
Flow voting_barrier(Warp& w, const Inst& i, u32 mask) {
  w.voting |= mask;
  w.votes |= mask & (i.flag ? ~w.predicates[i.b] : w.predicates[i.b]);
  return block_barrier(w, i, mask);
}

Flow nothing(Warp&, const Inst&, u32) { return Flow::kNext; }
/// Memory is sequentially consistent here; that there was a fence is noted for the check of races between blocks.
Flow fence(Warp& w, const Inst&, u32) {
  w.block->fenced = true;
  return Flow::kNext;
}
Flow yield(Warp& w, const Inst&, u32) {
  w.spin += 1000;
  return Flow::kNext;
}
Flow trap(Warp& w, const Inst& i, u32) { fault(w, i, cudaErrorLaunchFailure, "trap"); }

void decode_exit(Decoder& d) {
  d.take("uni");
  d.emit(leave);
}

}  // namespace

void count_votes(Block& block) {
  int yes = 0, voters = 0;
  for (const auto& w : block.warps) {
    yes += std::popcount(w->votes);
    voters += std::popcount(w->voting);
  }
  for (const auto& w : block.warps) {
    each_lane(w->voting, [&](int l) {
      const Inst& i = block.kernel->code[w->lane_pc[l] - 1];
      if (i.aux == kCount) {
        w->row<u32>(i.d)[l] = static_cast<u32>(yes);
      } else {
        set_predicate(*w, i.d, 1u << l, (i.aux == kEvery ? yes == voters : yes > 0) ? kAll : 0);
      }
    });
  }
}

void decode_warp_barrier(Decoder& d);

namespace {

/// "bar.sync 0", "barrier.sync.aligned 0", "bar.warp.sync mask", "bar.red.popc.u32 %r1, 0, %p1"
void decode_bar(Decoder& d) {
  const bool warp = d.take("warp");
  d.take("cta");
  d.take("aligned");
  if (d.take("red")) {
    const int vote = d.take_one({"popc", "and", "or"});
    d.take_type();
    if (vote < 0 || warp || d.args() != 3 || d.arg(1) != "0") d.refuse("only barrier 0 with all threads");
    d.inst.aux = static_cast<u16>(vote);
    d.inst.d = vote == kCount ? d.target_row(0, 4) : d.predicate(d.arg(0));
    d.inst.b = d.predicate(d.arg(2), &d.inst.flag);
    d.take("sync");
    d.take("all");
    return d.emit(voting_barrier);
  }
  if (!d.take("sync")) d.refuse("only .sync and .red");
  if (warp) return decode_warp_barrier(d);
  if (d.args() != 1 || d.arg(0) != "0") d.refuse("only barrier 0 with all threads");
  d.emit(block_barrier);
}

void decode_fence(Decoder& d) {
  d.take_one({"sc", "acq_rel", "acquire", "release"});
  const int scope = d.take_one({"cta", "cluster", "gpu", "sys", "gl"});
  if (scope < 0) d.refuse("which fence?");
  d.emit(scope < 2 ? nothing : fence);
}
void decode_nanosleep(Decoder& d) {
  d.take_type();
  d.emit(yield);
}
void decode_trap(Decoder& d) { d.emit(trap); }
void decode_griddepcontrol(Decoder& d) {  // launches are never overlapped here
  if (d.take_one({"wait", "launch_dependents"}) < 0) d.refuse("which?");
  d.emit(nothing);
}

}  // namespace

void add_control(DecodeTable& table) {
  table["ret"] = decode_exit;
  table["exit"] = decode_exit;
  table["bar"] = decode_bar;
  table["barrier"] = decode_bar;
  table["membar"] = decode_fence;
  table["fence"] = decode_fence;
  table["nanosleep"] = decode_nanosleep;
  table["trap"] = decode_trap;
  table["griddepcontrol"] = decode_griddepcontrol;
}

}  // namespace cudasim::ptx
