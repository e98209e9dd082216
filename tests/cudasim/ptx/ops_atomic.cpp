// atom and red: each lane in turn. They count as ordered with each other, and are not checked for races.

#include <algorithm>
#include <cmath>

#include "tests/cudasim/core/numbers.h"
#include "tests/cudasim/ptx/access.h"
#include "tests/cudasim/ptx/global_check.h"
#include "tests/cudasim/ptx/lanes.h"
#include "tests/cudasim/ptx/text.h"
#include "tests/cudasim/ptx/types.h"

namespace cudasim::ptx {

namespace {

enum Change : u16 { kAdd, kMin, kMax, kExchange, kSwapIfEqual, kAnd, kOr, kXor, kIncrement, kDecrement };

struct HalfPair {
  u32 bits;
};
struct BfPair {
  u32 bits;
};
struct Half {
  u16 bits;
};
struct Bf {
  u16 bits;
};

template <class T>
T changed(T old, T value, T swap, u16 how) {
  if (how == kExchange) return value;
  if constexpr (std::is_integral_v<T>) {
    switch (how) {
      case kAdd:
        return static_cast<T>(static_cast<std::make_unsigned_t<T>>(old) + static_cast<std::make_unsigned_t<T>>(value));
      case kMin:
        return std::min(old, value);
      case kMax:
        return std::max(old, value);
      case kSwapIfEqual:
        return old == value ? swap : old;
      case kAnd:
        return static_cast<T>(old & value);
      case kOr:
        return static_cast<T>(old | value);
      case kXor:
        return static_cast<T>(old ^ value);
      case kIncrement:
        return old >= value ? T{0} : static_cast<T>(old + 1);
      default:
        return old == 0 || old > value ? value : static_cast<T>(old - 1);
    }
  } else if constexpr (std::is_floating_point_v<T>) {
    return old + value;
  } else if constexpr (std::is_same_v<T, Half>) {
    return {to_f16(from_f16(old.bits) + from_f16(value.bits))};
  } else if constexpr (std::is_same_v<T, Bf>) {
    return {to_bf16(from_bf16(old.bits) + from_bf16(value.bits))};
  } else {
    using One = std::conditional_t<std::is_same_v<T, HalfPair>, Half, Bf>;
    const u16 low = changed<One>({static_cast<u16>(old.bits)}, {static_cast<u16>(value.bits)}, {}, how).bits;
    const u16 high =
        changed<One>({static_cast<u16>(old.bits >> 16)}, {static_cast<u16>(value.bits >> 16)}, {}, how).bits;
    return {static_cast<u32>(high) << 16 | low};
  }
}

template <class T>
Flow atomic(Warp& w, const Inst& i, u32 mask) {
  if (i.flag) w.block->fenced = true;
  u64 addresses[32];
  addresses_of(w, i, addresses);
  Places places;
  resolve(w, i, mask, addresses, sizeof(T), Use::kAtomic, places);
  const T* values = w.row<T>(i.b);
  const T* swaps = i.c == kNone ? values : w.row<T>(i.c);
  each_lane(mask, [&](int l) {
    T old;
    std::memcpy(&old, places.at[l], sizeof(T));
    const T fresh = changed<T>(old, values[l], swaps[l], i.aux);
    std::memcpy(places.at[l], &fresh, sizeof(T));
    if (i.d != kNone) w.row<T>(i.d)[l] = old;
  });
  strong_access(*w.block);
  ++w.spin;
  return Flow::kNext;
}

Exec pick(const std::string& type, u16 how) {
  const bool adds = how == kAdd || how == kExchange;
  if (type == "f32") return adds ? atomic<float> : nullptr;
  if (type == "f64") return adds ? atomic<double> : nullptr;
  if (type == "f16") return adds ? atomic<Half> : nullptr;
  if (type == "bf16") return adds ? atomic<Bf> : nullptr;
  if (type == "f16x2") return adds ? atomic<HalfPair> : nullptr;
  if (type == "bf16x2") return adds ? atomic<BfPair> : nullptr;
  if (type[0] == 's') return by_integer(type, [](auto t) -> Exec { return atomic<decltype(t)>; });
  return by_width(type, [](auto t) -> Exec { return atomic<decltype(t)>; });
}

void decode_atomic(Decoder& d) {
  const bool returns = d.opcode() == "atom";
  const std::string type = d.take_type();
  d.space();
  d.inst.flag = d.take_one({"relaxed", "acquire", "release", "acq_rel"}) >= 2;  // is its own fence
  d.take_one({"cta", "cluster", "gpu", "sys"});
  d.take("noftz");
  const int how = d.take_one({"add", "min", "max", "exch", "cas", "and", "or", "xor", "inc", "dec"});
  if (how < 0) d.refuse("which change?");
  const int bytes = type_bytes(type);
  const size_t at = returns ? 1 : 0;
  d.inst.aux = static_cast<u16>(how);
  d.inst.memory = static_cast<u8>(bytes);
  d.inst.d = returns && d.arg(0) != "_" ? d.target_row(0, bytes) : kNone;
  d.address(at);
  d.inst.b = d.row(at + 1, bytes);
  if (how == kSwapIfEqual) d.inst.c = d.row(at + 2, bytes);
  d.emit(pick(type, d.inst.aux));
}

}  // namespace

void add_atomic(DecodeTable& table) {
  table["atom"] = decode_atomic;
  table["red"] = decode_atomic;
}

}  // namespace cudasim::ptx
