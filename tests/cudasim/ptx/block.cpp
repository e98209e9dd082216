#include "tests/cudasim/ptx/block.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "tests/cudasim/ptx/lanes.h"

namespace cudasim::ptx {

namespace {

constexpr int kShared = 0xC5, kRegister = 0xCD;  ///< what is in them before anybody writes

u64 special(Special what, const Block& b, const Warp& w, u32 lane) {
  const u32 thread = static_cast<u32>(w.id) * 32 + lane;
  switch (what) {
    case Special::kTidX:
      return thread % b.size.x;
    case Special::kTidY:
      return thread / b.size.x % b.size.y;
    case Special::kTidZ:
      return thread / b.size.x / b.size.y;
    case Special::kNtidX:
      return b.size.x;
    case Special::kNtidY:
      return b.size.y;
    case Special::kNtidZ:
      return b.size.z;
    case Special::kCtaX:
      return b.at[0];
    case Special::kCtaY:
      return b.at[1];
    case Special::kCtaZ:
      return b.at[2];
    case Special::kNctaX:
      return b.grid.x;
    case Special::kNctaY:
      return b.grid.y;
    case Special::kNctaZ:
      return b.grid.z;
    case Special::kLane:
      return lane;
    case Special::kWarp:
      return static_cast<u64>(w.id);
    case Special::kNwarp:
      return (b.threads + 31) / 32;
    case Special::kMaskLt:
      return (1u << lane) - 1;
    case Special::kMaskLe:
      return (2u << lane) - 1;
    case Special::kMaskEq:
      return 1u << lane;
    case Special::kMaskGt:
      return ~((2u << lane) - 1);
    case Special::kMaskGe:
      return ~((1u << lane) - 1);
    case Special::kDynamicBytes:
      return b.dynamic_shared;
    case Special::kTotalBytes:
      return b.shared.size();
    case Special::kClock:
      return now_ns();  // as it was when the block began
    case Special::kZero:
      break;
  }
  return 0;
}

void write_specials(Block& b, Warp& w) {
  for (const SpecialRow& row : b.kernel->specials) {
    for (u32 lane = 0; lane < 32; ++lane) {
      const u64 value = special(row.what, b, w, lane);
      if (row.wide) {
        w.row<u64>(row.row)[lane] = value;
      } else {
        w.row<u32>(row.row)[lane] = static_cast<u32>(value);
      }
    }
  }
}

std::unique_ptr<Warp> make_warp(Block& b, int id) {
  const Kernel& kernel = *b.kernel;
  auto w = std::make_unique<Warp>();
  w->block = &b;
  w->id = id;
  const u32 lanes = std::min(32u, b.threads - static_cast<u32>(id) * 32);
  w->exist = lanes == 32 ? kAll : (1u << lanes) - 1;
  w->rows_storage.resize((kernel.row_bytes + 128) / 8);
  std::memset(w->rows_storage.data(), kRegister, w->rows_storage.size() * 8);
  w->rows = reinterpret_cast<u8*>((reinterpret_cast<u64>(w->rows_storage.data()) + 63) & ~63ull);
  w->predicates.assign(kernel.predicates + 1, 0);
  w->local.assign(static_cast<size_t>(kernel.local_bytes) * 32, kShared);
  for (const Constant& constant : kernel.constants) {
    for (u32 lane = 0; lane < 32; ++lane)
      std::memcpy(w->rows + constant.row + lane * constant.size, &constant.value, constant.size);
  }
  return w;
}

enum class State { kRan, kWaits, kDone };

State state_of(const Warp& w) { return (w.exist & ~w.exited) != 0 ? State::kWaits : State::kDone; }

/// Until no lane can run, or it has spun for longer than the budget.
State run_warp(Warp& w, u64 budget, u64& instructions) {
  w.choose();
  if (w.mask == 0) return state_of(w);
  const Inst* const code = w.block->kernel->code.data();
  u64 count = 0;
  while (w.mask != 0) {
    const Inst& inst = code[w.pc];
    u32 mask = w.mask;
    if (inst.guard >= 0) {
      const u32 guard = w.predicates[static_cast<size_t>(inst.guard)];
      mask &= inst.guard_not ? ~guard : guard;
    }
    ++count;
    if (mask == 0 || inst.exec(w, inst, mask) == Flow::kNext) ++w.pc;
    if (w.pc >= w.next_other && w.mask != 0) {
      w.save();
      w.choose();
    }
    if (w.spin > budget) {
      w.spin = 0;
      w.save();
      instructions += count;
      return State::kRan;
    }
  }
  instructions += count;
  return state_of(w);
}

[[noreturn]] void stuck(const Block& b) {
  for (const auto& w : b.warps) {
    if (w->parked == 0) continue;
    const int lane = std::countr_zero(w->parked);
    const u32 pc = w->lane_pc[lane];
    throw Fault{cudaErrorLaunchFailure,
                fmt::format("lanes {:#x} wait for lanes {:#x} that left or wait elsewhere [{}]", w->parked,
                            w->park_mask[lane] & ~w->parked, place(*w, b.kernel->code[pc], lane))};
  }
  throw Fault{cudaErrorLaunchFailure,
              "kernel " + b.kernel->title + ": some threads wait at a barrier that others never reach"};
}

}  // namespace

std::unique_ptr<Block> make_block(const Kernel& kernel, const Launch& launch, Machine& machine, AccessSet* accesses,
                                  u64 number, Releases& releases) {
  auto b = std::make_unique<Block>();
  b->kernel = &kernel;
  b->memory = &machine.memory;
  b->arena = &machine.memory.arena(launch.device);
  b->reports = &machine.reports;
  b->accesses = accesses;
  b->params = launch.params;
  b->device = launch.device;
  b->checks = machine.settings.checks;
  b->diverge = machine.settings.diverge;
  b->releases = &releases;
  b->grid = launch.grid;
  b->size = launch.block;
  b->launch = number;
  b->threads = launch.block.x * launch.block.y * launch.block.z;
  b->dynamic_shared = launch.dynamic_shared;
  b->dynamic_at = (kernel.static_shared + 15) & ~15u;
  b->shared.resize(b->dynamic_at + launch.dynamic_shared);
  b->shared_check = SharedCheck((b->checks & kCheckSharedRace) != 0);
  for (u32 at = 0; at < b->threads; at += 32) b->warps.push_back(make_warp(*b, static_cast<int>(at / 32)));
  return b;
}

void make_ready(Block& b, u64 linear, std::mt19937& random) {
  b.linear = linear;
  b.at[0] = static_cast<u32>(linear % b.grid.x);
  b.at[1] = static_cast<u32>(linear / b.grid.x % b.grid.y);
  b.at[2] = static_cast<u32>(linear / b.grid.x / b.grid.y);
  ++b.epoch;
  b.fenced = false;
  b.taken_at = 0;
  std::memset(b.shared.data(), kShared, b.shared.size());
  b.shared_check.begin_block(static_cast<u32>(b.shared.size()));
  b.order.resize(b.warps.size());
  for (size_t i = 0; i < b.order.size(); ++i) b.order[i] = static_cast<u32>(i);
  std::shuffle(b.order.begin(), b.order.end(), random);
  for (const auto& w : b.warps) {
    w->exited = w->parked = w->barred = w->voting = w->votes = 0;
    w->spin = 0;
    w->random = static_cast<u32>(random());
    w->copies.clear();
    std::fill(std::begin(w->lane_pc), std::end(w->lane_pc), 0);
    write_specials(b, *w);
  }
}

bool run_block(Block& b, u64 budget, u64& instructions) {
  for (;;) {
    bool done = true, spins = false;
    for (const u32 which : b.order) {
      const State state = run_warp(*b.warps[which], budget, instructions);
      done = done && state == State::kDone;
      spins = spins || state == State::kRan;
    }
    if (done) return true;
    if (spins) return false;
    for (const auto& w : b.warps) {
      if ((w->exist & ~w->exited & ~w->barred) != 0) stuck(b);
    }
    count_votes(b);
    for (const auto& w : b.warps) {
      w->barred = w->voting = w->votes = 0;
      ++w->epoch;
    }
    ++b.epoch;
  }
}

}  // namespace cudasim::ptx
