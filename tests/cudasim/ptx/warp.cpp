#include "tests/cudasim/ptx/warp.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace cudasim::ptx {

namespace {

/// The pc of the group that shall run next.
u32 chosen_pc(Warp& warp, u32 run) {
  u32 low = kAll, high = 0;
  for (u32 m = run; m != 0; m &= m - 1) {
    const u32 pc = warp.lane_pc[std::countr_zero(m)];
    low = std::min(low, pc);
    high = std::max(high, pc);
  }
  switch (warp.block->diverge) {
    case Diverge::kLow:
      return low;
    case Diverge::kHigh:
      return high;
    case Diverge::kRandom:
      break;
  }
  warp.random = warp.random * 1664525u + 1013904223u;
  if ((warp.random >> 31) == 0) return low;
  u32 m = run;
  for (u32 skip = (warp.random >> 8) % static_cast<u32>(std::popcount(run)); skip > 0; --skip) m &= m - 1;
  return warp.lane_pc[std::countr_zero(m)];
}

}  // namespace

void Warp::set_pc(u32 lanes, u32 to) {
  for (u32 m = lanes; m != 0; m &= m - 1) lane_pc[std::countr_zero(m)] = to;
}

void Warp::choose() {
  const u32 run = runnable();
  mask = 0;
  next_other = kAll;
  if (run == 0) return;
  pc = chosen_pc(*this, run);
  for (u32 m = run; m != 0; m &= m - 1) {
    const int lane = std::countr_zero(m);
    if (lane_pc[lane] == pc) {
      mask |= 1u << lane;
    } else {
      next_other = std::min(next_other, lane_pc[lane]);
    }
  }
  if (block->diverge != Diverge::kLow && next_other != kAll) next_other = 0;  // choose again after every instruction
}

std::string place(const Warp& warp, const Inst& inst, int lane) {
  const Block& block = *warp.block;
  const Source& source = block.kernel->sources[inst.index];
  return fmt::format("kernel {}, block ({},{},{}), thread {}, line {}: {}", block.kernel->title.substr(0, 160),
                     block.at[0], block.at[1], block.at[2], warp.id * 32 + lane, source.line,
                     source.text.substr(0, 80));
}

void fault(const Warp& warp, const Inst& inst, cudaError_t code, const std::string& what) {
  throw Fault{code, what + " [" + place(warp, inst, std::countr_zero(warp.mask | 1u << 31)) + "]"};
}

}  // namespace cudasim::ptx
