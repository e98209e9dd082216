// Branches, returns, barriers of the block, fences, traps. Fences do nothing: the emulation is sequentially consistent.

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

/// aux: the barrier's number; each thread arrives for itself.
Flow block_barrier(Warp& w, const Inst&, u32 mask) {
  w.set_pc(w.mask, w.pc + 1);
  w.barred |= mask;
  w.choose();
  return Flow::kMoved;
}

Flow nothing(Warp&, const Inst&, u32) { return Flow::kNext; }
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

void decode_warp_barrier(Decoder& d);

namespace {

/// "bar.sync 0", "barrier.sync.aligned 0", "bar.warp.sync mask"
void decode_bar(Decoder& d) {
  const bool warp = d.take("warp");
  d.take("cta");
  d.take("aligned");
  if (!d.take("sync")) d.refuse("only .sync");
  if (warp) return decode_warp_barrier(d);
  if (d.args() != 1 || d.arg(0) != "0") d.refuse("only barrier 0 with all threads");
  d.emit(block_barrier);
}

void decode_fence(Decoder& d) {
  d.take_one({"sc", "acq_rel", "acquire", "release"});
  if (d.take_one({"cta", "cluster", "gpu", "sys", "gl"}) < 0) d.refuse("which fence?");
  d.emit(nothing);
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
