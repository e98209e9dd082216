#pragma once
// Addresses of a warp's lanes become places in the emulation, after every check: bounds, life, alignment, written
// before read, races. The common case (all lanes in one live allocation of the device) is decided once for the warp.
//
//   Places places;
//   resolve(warp, inst, mask, addresses, bytes, Use::kRead, places);
//   std::memcpy(&value, places.at[lane], bytes);

#include "tests/cudasim/ptx/warp.h"

namespace cudasim::ptx {

enum class Use : u8 { kRead, kWrite, kAtomic };

struct Places {
  u8* at[32];
  bool contiguous = false;  ///< all 32 lanes, one after the other from at[0]
};

/// `values`: what a write stores, lane by lane `bytes` apart: stored already where a check of races compares it with
/// what is there, so that lanes that write the same do not race. Null: unknown, taken as a change.
void resolve(Warp& warp, const Inst& inst, u32 mask, const u64* addresses, u32 bytes, Use use, Places& out,
             const u8* values = nullptr);
/// The same for one lane, in the space given.
u8* resolve_one(Warp& warp, const Inst& inst, int lane, u64 address, u32 bytes, Use use, Space space,
                const u8* value = nullptr);
/// The addresses of an instruction's memory operand.
void addresses_of(Warp& warp, const Inst& inst, u64* out);

}  // namespace cudasim::ptx
