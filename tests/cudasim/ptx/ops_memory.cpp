// Loads and stores. Hints about caches change nothing that could be seen here, and are taken by name.

#include <algorithm>

#include "tests/cudasim/ptx/access.h"
#include "tests/cudasim/ptx/global_check.h"
#include "tests/cudasim/ptx/lanes.h"
#include "tests/cudasim/ptx/text.h"
#include "tests/cudasim/ptx/types.h"

namespace cudasim::ptx {

namespace {

/// Puts `memory` bytes into a register of `reg` bytes, with the sign if the type has one.
inline void put(u8* to, const u8* from, const Inst& i) {
  u64 value = 0;
  std::memcpy(&value, from, i.memory);
  if (i.is_signed && i.memory < 8) {
    const int shift = 64 - 8 * i.memory;
    value = static_cast<u64>(static_cast<s64>(value << shift) >> shift);
  }
  std::memcpy(to, &value, i.reg);
}

template <class U>
void scatter(Warp& w, const Inst& i, const u32* rows, u32 mask, const Places& places) {
  for (int k = 0; k < i.count; ++k) {
    if (rows[k] == kNone) continue;
    U* to = w.row<U>(rows[k]);
    each_lane(mask, [&](int l) { std::memcpy(&to[l], places.at[l] + k * sizeof(U), sizeof(U)); });
  }
}

Flow load(Warp& w, const Inst& i, u32 mask) {
  u64 addresses[32];
  addresses_of(w, i, addresses);
  Places places;
  const u32 bytes = static_cast<u32>(i.memory) * i.count;
  resolve(w, i, mask, addresses, bytes, Use::kRead, places);
  const u32* rows = &w.block->kernel->lists[i.list];
  if (!i.weak) {
    strong_access(*w.block);
    ++w.spin;
  }
  if (i.memory != i.reg) {
    for (int k = 0; k < i.count; ++k) {
      if (rows[k] == kNone) continue;
      each_lane(mask, [&](int l) { put(w.rows + rows[k] + l * i.reg, places.at[l] + k * i.memory, i); });
    }
  } else if (places.contiguous && i.count == 1) {
    std::memcpy(w.rows + rows[0], places.at[0], 32 * bytes);
  } else if (i.memory == 4) {
    scatter<u32>(w, i, rows, mask, places);
  } else if (i.memory == 8) {
    scatter<u64>(w, i, rows, mask, places);
  } else {
    scatter<u16>(w, i, rows, mask, places);
  }
  return Flow::kNext;
}

template <class U>
void spread(Warp& w, u32 row, u32 mask, const u8* from) {
  U value;
  std::memcpy(&value, from, sizeof value);
  U* to = w.row<U>(row);
  if (mask == kAll) {
    std::fill(to, to + 32, value);
  } else {
    each_lane(mask, [&](int l) { to[l] = value; });
  }
}

/// A parameter is the same for all lanes.
Flow load_param(Warp& w, const Inst& i, u32 mask) {
  const u32* rows = &w.block->kernel->lists[i.list];
  for (int k = 0; k < i.count; ++k) {
    if (rows[k] == kNone) continue;
    u8 value[8];
    put(value, w.block->params + i.imm + k * i.memory, i);
    if (i.reg == 8) {
      spread<u64>(w, rows[k], mask, value);
    } else if (i.reg == 4) {
      spread<u32>(w, rows[k], mask, value);
    } else {
      spread<u16>(w, rows[k], mask, value);
    }
  }
  return Flow::kNext;
}

Flow store(Warp& w, const Inst& i, u32 mask) {
  u64 addresses[32];
  addresses_of(w, i, addresses);
  const u32* rows = &w.block->kernel->lists[i.list];
  const u32 bytes = static_cast<u32>(i.memory) * i.count;
  alignas(32) u8 values[32 * 32];
  for (int k = 0; k < i.count; ++k) {
    if (i.count == 1 && i.memory == i.reg) {
      std::memcpy(values, w.rows + rows[0], 32 * bytes);
    } else {
      each_lane(mask,
                [&](int l) { std::memcpy(values + l * bytes + k * i.memory, w.rows + rows[k] + l * i.reg, i.memory); });
    }
  }
  Places places;
  resolve(w, i, mask, addresses, bytes, Use::kWrite, places, values);
  if (!i.weak) {
    if (i.flag) w.block->fenced = true;
    strong_access(*w.block);
  }
  if (places.contiguous) {
    std::memcpy(places.at[0], values, 32 * bytes);
  } else {
    each_lane(mask, [&](int l) { std::memcpy(places.at[l], values + l * bytes, bytes); });
  }
  return Flow::kNext;
}

void take_hints(Decoder& d) {
  for (const char* hint : {"ca", "cg", "cs", "lu", "cv", "wb", "wt", "nc", "L1::evict_normal", "L1::evict_unchanged",
                           "L1::evict_first", "L1::evict_last", "L1::no_allocate", "L2::evict_last", "L2::evict_first",
                           "L2::evict_normal", "L2::64B", "L2::128B", "L2::256B"}) {
    d.take(hint);
  }
}

/// Strong accesses are ordered by their program, not by barriers: they are not checked for races.
void take_strength(Decoder& d) {
  const bool is_volatile = d.take("volatile");
  const int order = d.take_one({"weak", "relaxed", "acquire", "release"});
  const int scope = d.take_one({"cta", "cluster", "gpu", "sys"});
  d.inst.weak = !is_volatile && order <= 0;
  d.inst.flag = order == 3;  // is its own fence
  if (scope >= 0 && order < 1) d.refuse("a scope without an order");
}

void decode_access(Decoder& d, bool loads) {
  const std::string type = d.take_type();
  d.space();
  take_strength(d);
  take_hints(d);
  const int vector = d.take_one({"v2", "v4", "v8"});
  const size_t wanted = vector < 0 ? 1 : size_t{2} << vector;
  const int bytes = type_bytes(type);
  if (bytes > 8) d.refuse("not for this type");
  d.address(loads ? 1 : 0);
  d.list_rows(d.list(loads ? 0 : 1), bytes);
  if (d.inst.count != wanted) d.refuse("the list does not fit the vector");
  d.inst.memory = static_cast<u8>(bytes);
  d.inst.is_signed = type[0] == 's';
  if (d.inst.reg < bytes) d.refuse("a register is too small");
  const bool fixed = loads && d.inst.space == Space::kParam && d.inst.a == kNone;
  if (!loads && d.inst.space == Space::kParam) d.refuse("a kernel's parameters cannot be written");
  d.emit(fixed ? load_param : loads ? load : store);
}

void decode_ld(Decoder& d) { decode_access(d, true); }
void decode_st(Decoder& d) { decode_access(d, false); }

Flow nothing(Warp&, const Inst&, u32) { return Flow::kNext; }
void decode_prefetch(Decoder& d) {
  d.space();
  d.take_one({"L1", "L2", "L2::evict_last", "L2::evict_normal"});
  d.take("tensormap");
  d.emit(nothing);
}

}  // namespace

void add_memory(DecodeTable& table) {
  table["ld"] = decode_ld;
  table["st"] = decode_st;
  table["prefetch"] = decode_prefetch;
  table["prefetchu"] = decode_prefetch;
}

}  // namespace cudasim::ptx
