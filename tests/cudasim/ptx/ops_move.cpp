// Moves, packing and unpacking of registers, and what turns addresses of one space into generic ones and back.

#include <algorithm>
#include <cctype>

#include "tests/cudasim/ptx/lanes.h"
#include "tests/cudasim/ptx/text.h"
#include "tests/cudasim/ptx/types.h"

namespace cudasim::ptx {

namespace {

template <class U>
Flow move(Warp& w, const Inst& i, u32 m) {
  store_lanes(w.row<U>(i.d), w.row<U>(i.a), m);
  return Flow::kNext;
}
/// imm: the value, where there is no predicate a.
Flow move_predicate(Warp& w, const Inst& i, u32 m) {
  set_predicate(w, i.d, m, i.a == kNone ? static_cast<u32>(i.imm) : w.predicates[i.a]);
  return Flow::kNext;
}

/// mov.b32 %r, {%rs1, %rs2}: `memory` bytes each, the first lowest.
template <class Part, class Whole>
Flow pack_two(Warp& w, const Inst& i, u32 m) {
  const u32* parts = &w.block->kernel->lists[i.list];
  const Part *low = w.row<Part>(parts[0]), *high = w.row<Part>(parts[1]);
  Whole out[32];
  for (int l = 0; l < 32; ++l) out[l] = static_cast<Whole>(low[l]) | static_cast<Whole>(high[l]) << (8 * sizeof(Part));
  store_lanes(w.row<Whole>(i.d), out, m);
  return Flow::kNext;
}
template <class Part, class Whole>
Flow unpack_two(Warp& w, const Inst& i, u32 m) {
  const u32* parts = &w.block->kernel->lists[i.list];
  Whole in[32];  // its register may be one of those written
  std::memcpy(in, w.row<Whole>(i.a), sizeof in);
  for (int k = 0; k < 2; ++k) {
    if (parts[k] == kNone) continue;
    Part out[32];
    for (int l = 0; l < 32; ++l) out[l] = static_cast<Part>(in[l] >> (8 * sizeof(Part) * static_cast<size_t>(k)));
    store_lanes(w.row<Part>(parts[k]), out, m);
  }
  return Flow::kNext;
}
Flow pack(Warp& w, const Inst& i, u32 m) {
  const u32* parts = &w.block->kernel->lists[i.list];
  each_lane(m, [&](int l) {
    u8* to = w.rows + i.d + l * i.reg;
    for (int k = 0; k < i.count; ++k) std::memcpy(to + k * i.memory, w.rows + parts[k] + l * i.memory, i.memory);
  });
  return Flow::kNext;
}
Flow unpack(Warp& w, const Inst& i, u32 m) {
  const u32* parts = &w.block->kernel->lists[i.list];
  each_lane(m, [&](int l) {
    const u8* from = w.rows + i.a + l * i.reg;
    for (int k = 0; k < i.count; ++k) {
      if (parts[k] != kNone) std::memcpy(w.rows + parts[k] + l * i.memory, from + k * i.memory, i.memory);
    }
  });
  return Flow::kNext;
}
Exec packing(bool packs, int count, int each) {
  if (count == 2 && each == 2) return packs ? pack_two<u16, u32> : unpack_two<u16, u32>;
  if (count == 2 && each == 4) return packs ? pack_two<u32, u64> : unpack_two<u32, u64>;
  return packs ? pack : unpack;
}

void decode_packed(Decoder& d, int bytes) {
  const bool packs = d.arg(1)[0] == '{';
  const std::vector<std::string> parts = d.list(packs ? 1 : 0);
  const int each = bytes / static_cast<int>(parts.size());
  d.list_rows(parts, each);
  if (d.inst.reg != each) d.refuse("the parts do not fill the whole");
  d.inst.memory = static_cast<u8>(each);
  d.inst.reg = static_cast<u8>(bytes);
  if (packs) {
    d.inst.d = d.target_row(0, bytes);
  } else {
    d.inst.a = d.row(1, bytes);
  }
  d.emit(packing(packs, static_cast<int>(parts.size()), each));
}

void decode_mov(Decoder& d) {
  const std::string type = d.take_type();
  if (type == "pred") {
    d.inst.d = d.predicate(d.arg(0));
    const bool literal = d.arg(1)[0] == '-' || std::isdigit(static_cast<unsigned char>(d.arg(1)[0])) != 0;
    d.inst.imm = literal && literal_bits(d.arg(1)) != 0 ? -1 : 0;
    if (!literal) d.inst.a = d.predicate(d.arg(1));
    return d.emit(move_predicate);
  }
  const int bytes = type_bytes(type);
  if (d.arg(0)[0] == '{' || d.arg(1)[0] == '{') return decode_packed(d, bytes);
  d.inst.d = d.target_row(0, bytes);
  d.inst.a = d.row(1, bytes);
  d.emit(by_bytes(bytes, [](auto t) -> Exec { return move<decltype(t)>; }));
}

Flow add_window(Warp& w, const Inst& i, u32 m) {
  return map1<u64>(w, i, m, [&](u64 a) { return a + static_cast<u64>(i.imm); });
}
Flow add_window_narrow(Warp& w, const Inst& i, u32 m) {
  return convert1<u64, u32>(w, i, m, [&](u32 a) { return a + static_cast<u64>(i.imm); });
}
Flow take_window_narrow(Warp& w, const Inst& i, u32 m) {
  return convert1<u32, u64>(w, i, m, [&](u64 a) { return static_cast<u32>(a + static_cast<u64>(i.imm)); });
}

/// Parameters' addresses carry their window from the start.
void decode_cvta(Decoder& d) {
  const int bytes = type_bytes(d.take_type());
  const bool to = d.take("to");
  const int space = d.take_one({"global", "shared", "shared::cta", "local", "const", "param"});
  if (space < 0) d.refuse("which space?");
  const u64 window = space == 1 || space == 2 ? kSharedWindow : space == 3 ? kLocalWindow : 0;
  d.inst.imm = static_cast<s64>(to ? 0 - window : window);
  u8 source = 8, target = 8;
  d.inst.d = d.target_row(0, bytes, &target);
  d.inst.a = d.row(1, bytes, &source);
  d.emit(source == 8 ? (target == 8 ? add_window : take_window_narrow) : target == 8 ? add_window_narrow : nullptr);
}

Flow is_in_space(Warp& w, const Inst& i, u32 m) {
  const u64* a = w.row<u64>(i.a);
  u32 bits = 0;
  for (int l = 0; l < 32; ++l) {
    const u64 window = a[l] & ~(kSharedWindow - 1);
    const bool yes = i.space == Space::kGlobal ? window == 0 : window == static_cast<u64>(i.imm);
    bits |= static_cast<u32>(yes) << l;
  }
  set_predicate(w, i.d, m, bits);
  return Flow::kNext;
}
void decode_isspacep(Decoder& d) {
  d.space();
  d.inst.imm = static_cast<s64>(d.inst.space == Space::kShared  ? kSharedWindow
                                : d.inst.space == Space::kLocal ? kLocalWindow
                                                                : kParamWindow);
  d.inst.d = d.predicate(d.arg(0));
  d.inst.a = d.row(1, 8);
  d.emit(is_in_space);
}

}  // namespace

void add_move(DecodeTable& table) {
  table["mov"] = decode_mov;
  table["cvta"] = decode_cvta;
  table["isspacep"] = decode_isspacep;
}

}  // namespace cudasim::ptx
