#include "tests/cudasim/ptx/access.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "tests/cudasim/ptx/global_check.h"
#include "tests/cudasim/ptx/lanes.h"

namespace cudasim::ptx {

namespace {

const char* verb(Use use) { return use == Use::kRead ? "read" : use == Use::kWrite ? "write" : "atomic"; }

bool all_written(const u8* written, u32 bytes) {
  switch (bytes) {
    case 4: {
      u32 word;
      std::memcpy(&word, written, 4);
      return word == 0x01010101u;
    }
    case 2:
      return written[0] != 0 && written[1] != 0;
    default:
      return std::memchr(written, 0, bytes) == nullptr;
  }
}

u8* shared_place(Warp& w, const Inst& inst, int lane, u64 at, u32 bytes, Use use, const u8* value) {
  Block& block = *w.block;
  const bool dynamic = at >= kDynamicShared;
  const u64 offset = dynamic ? at - kDynamicShared : at;
  const u32 size = dynamic ? block.dynamic_shared : block.kernel->static_shared;
  if (offset + bytes > size) {
    fault(w, inst, cudaErrorIllegalAddress,
          fmt::format("shared memory {} out of bounds: byte {} of the {} {} bytes by thread {}", verb(use), offset,
                      dynamic ? "dynamic" : "static", size, w.id * 32 + lane));
  }
  const u32 from = static_cast<u32>(offset) + (dynamic ? block.dynamic_at : 0);
  if (use == Use::kRead && (block.checks & kCheckWritten) != 0 && !block.shared_check.written(from, bytes)) {
    block.reports->add(
        fmt::format("reads shared memory that was never written: byte {} [{}]", offset, place(w, inst, lane)));
    block.shared_check.mark_all_written();  // said once for each block
  }
  if (use != Use::kRead) block.shared_check.mark_written(from, bytes);
  if (use != Use::kAtomic) {
    const Stamp me = stamp_of(block.epoch, w.epoch, static_cast<u32>(w.id * 32 + lane));
    const bool changes = value == nullptr || std::memcmp(&block.shared[from], value, bytes) != 0;
    const int other = use == Use::kRead ? block.shared_check.read(from, bytes, me)
                                        : block.shared_check.write(from, bytes, me, changes);
    if (other != SharedCheck::kNoRace) {
      fault(w, inst, cudaErrorLaunchFailure,
            fmt::format(
                "shared memory race: thread {} {}s byte {}, and thread {} touched it with no __syncthreads between",
                w.id * 32 + lane, verb(use), offset, other));
    }
  }
  if (value != nullptr) std::memcpy(&block.shared[from], value, bytes);
  return &block.shared[from];
}

u8* local_place(Warp& w, const Inst& inst, int lane, u64 at, u32 bytes) {
  const u64 size = w.block->kernel->local_bytes;
  if (at + bytes > size) {
    fault(w, inst, cudaErrorIllegalAddress, fmt::format("local memory out of bounds: byte {} of {}", at, size));
  }
  return w.local.data() + static_cast<u64>(lane) * size + at;
}

void check_global_race(Warp& w, const Inst& inst, int lane, u64 address, u32 bytes, Use use, u8* data, const u8* value,
                       const Arena& arena) {
  const GlobalToucher me(*w.block, w, lane);
  RaceCell* cells = arena.cells(address);
  const bool changes = value == nullptr || std::memcmp(data, value, bytes) != 0;
  const auto other = use == Use::kRead ? me.read(cells, bytes) : me.write(cells, bytes, changes);
  if (!other) {
    if (value != nullptr) std::memcpy(data, value, bytes);
    return;
  }
  const Allocation* at = arena.find(address);
  fault(w, inst, cudaErrorLaunchFailure,
        fmt::format("global memory race: block {} thread {} {}s byte {} of allocation #{}; {}", w.block->linear,
                    w.id * 32 + lane, verb(use), address - at->base, at->id, *other));
}

bool wants_race_check(const Block& block, const Inst& inst, Use use, u32 bytes) {
  return (block.checks & kCheckGlobalRace) != 0 && use != Use::kAtomic && inst.weak && bytes > 1;
}

u8* global_place(Warp& w, const Inst& inst, int lane, u64 address, u32 bytes, Use use, const u8* value) {
  const Block& block = *w.block;
  const Access access{address, bytes, use != Use::kRead, block.device, {}};
  const Allocation* found = block.memory->find(address);
  u8* data = nullptr;
  const Arena* arena = block.memory->arena_of(address);
  const bool plain = found != nullptr && found->live && address + bytes <= found->end() && arena == block.arena;
  if (plain &&
      (use == Use::kRead ? (block.checks & kCheckWritten) == 0 || all_written(arena->written(address), bytes) : true)) {
    if (use != Use::kRead) std::memset(arena->written(address), 1, bytes);
    if (block.accesses != nullptr) block.accesses->touch(address, bytes, access.write);
    data = arena->data(address);
  } else {
    Access named = access;
    named.who = place(w, inst, lane);
    data = block.memory->access(named, block.accesses);
  }
  if (arena != nullptr && wants_race_check(block, inst, use, bytes)) {
    check_global_race(w, inst, lane, address, bytes, use, data, value, *arena);
  }
  return data;
}

/// All lanes in one live allocation of the device, aligned, written where they read: checked once. False: lane by lane.
bool resolve_together(Warp& w, const Inst& inst, u32 mask, const u64* addresses, u32 bytes, Use use, Places& out,
                      const u8* values) {
  const Block& block = *w.block;
  u64 low = ~0ull, high = 0, all_bits = 0;
  if (mask == kAll) {
    for (int l = 0; l < 32; ++l) {
      low = std::min(low, addresses[l]);
      high = std::max(high, addresses[l]);
      all_bits |= addresses[l];
    }
  } else {
    each_lane(mask, [&](int l) {
      low = std::min(low, addresses[l]);
      high = std::max(high, addresses[l]);
      all_bits |= addresses[l];
    });
  }
  if ((all_bits & (bytes - 1)) != 0 || !block.arena->contains(low)) return false;
  const Allocation* found = block.arena->find(low);
  if (found == nullptr || !found->live || low < found->base || high + bytes > found->end()) return false;
  const Arena& arena = *block.arena;
  const u64 span = high + bytes - low;
  // Dense: every byte from the first to the last is some lane's, which is so if they are as many bytes.
  bool contiguous = mask == kAll && span == 32ull * bytes;
  for (int l = 1; contiguous && l < 32; ++l) contiguous = addresses[l] == low + static_cast<u64>(l) * bytes;
  out.contiguous = contiguous;
  if (use == Use::kRead && (block.checks & kCheckWritten) != 0) {
    if (contiguous) {
      if (std::memchr(arena.written(low), 0, span) != nullptr) return false;
    } else {
      bool written = true;
      each_lane(mask, [&](int l) { written = written && all_written(arena.written(addresses[l]), bytes); });
      if (!written) return false;
    }
  }
  if (contiguous) {
    if (use != Use::kRead) std::memset(arena.written(low), 1, span);
    if (block.accesses != nullptr) block.accesses->touch(low, span, use != Use::kRead);
  } else {
    each_lane(mask, [&](int l) {
      if (use != Use::kRead) std::memset(arena.written(addresses[l]), 1, bytes);
      if (block.accesses != nullptr) block.accesses->touch(addresses[l], bytes, use != Use::kRead);
    });
  }
  const bool races = wants_race_check(block, inst, use, bytes);
  u8* const base = arena.data(low);
  each_lane(mask, [&](int l) {
    out.at[l] = base + (addresses[l] - low);
    if (races) {
      check_global_race(w, inst, l, addresses[l], bytes, use, out.at[l],
                        values != nullptr ? values + l * bytes : nullptr, arena);
    }
  });
  return true;
}

}  // namespace

u8* resolve_one(Warp& w, const Inst& inst, int lane, u64 address, u32 bytes, Use use, Space space, const u8* value) {
  if (space == Space::kGeneric) {
    space = Space::kGlobal;
    for (auto [window, its] :
         {std::pair{kSharedWindow, Space::kShared}, {kLocalWindow, Space::kLocal}, {kParamWindow, Space::kParam}}) {
      if (address - window < kWindowBytes) {
        address -= window;
        space = its;
      }
    }
  } else if (space == Space::kParam && address >= kParamWindow) {
    address -= kParamWindow;
  }
  if (address % bytes != 0) {
    fault(w, inst, cudaErrorMisalignedAddress,
          fmt::format("misaligned address {:#x} of a {} of {} bytes by thread {}", address, verb(use), bytes,
                      w.id * 32 + lane));
  }
  switch (space) {
    case Space::kShared:
      return shared_place(w, inst, lane, address, bytes, use, value);
    case Space::kLocal:
      return local_place(w, inst, lane, address, bytes);
    case Space::kParam:
      if (use != Use::kRead || address + bytes > w.block->kernel->param_bytes) {
        fault(w, inst, cudaErrorIllegalAddress, fmt::format("{} outside of the kernel's parameters", verb(use)));
      }
      return const_cast<u8*>(w.block->params) + address;
    case Space::kGlobal:
    case Space::kGeneric:
      break;
  }
  return global_place(w, inst, lane, address, bytes, use, value);
}

void resolve(Warp& w, const Inst& inst, u32 mask, const u64* addresses, u32 bytes, Use use, Places& out,
             const u8* values) {
  out.contiguous = false;
  const bool maybe_global = inst.space == Space::kGlobal || inst.space == Space::kGeneric;
  if (maybe_global && resolve_together(w, inst, mask, addresses, bytes, use, out, values)) return;
  out.contiguous = false;
  if (inst.space == Space::kShared) {
    u64 all_bits = 0;
    each_lane(mask, [&](int l) { all_bits |= addresses[l]; });
    if ((all_bits & (bytes - 1)) == 0) {
      each_lane(mask, [&](int l) {
        out.at[l] =
            shared_place(w, inst, l, addresses[l], bytes, use, values != nullptr ? values + l * bytes : nullptr);
      });
      return;
    }
  }
  each_lane(mask, [&](int l) {
    out.at[l] =
        resolve_one(w, inst, l, addresses[l], bytes, use, inst.space, values != nullptr ? values + l * bytes : nullptr);
  });
}

void addresses_of(Warp& w, const Inst& inst, u64* out) {
  if (inst.a == kNone) {
    std::fill(out, out + 32, static_cast<u64>(inst.imm));
  } else if (inst.wide_address) {
    const u64* base = w.row<u64>(inst.a);
    for (int l = 0; l < 32; ++l) out[l] = base[l] + static_cast<u64>(inst.imm);
  } else {
    const u32* base = w.row<u32>(inst.a);
    for (int l = 0; l < 32; ++l) out[l] = base[l] + static_cast<u64>(inst.imm);
  }
}

}  // namespace cudasim::ptx
