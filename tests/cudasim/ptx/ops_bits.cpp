// Bits: logic on values and predicates, shifts, counts, fields, permutations.

#include <algorithm>
#include <bit>

#include "tests/cudasim/ptx/lanes.h"
#include "tests/cudasim/ptx/text.h"
#include "tests/cudasim/ptx/types.h"

namespace cudasim::ptx {

namespace {

template <class U>
Flow bit_and(Warp& w, const Inst& i, u32 m) {
  return map2<U>(w, i, m, [](U a, U b) { return static_cast<U>(a & b); });
}
template <class U>
Flow bit_or(Warp& w, const Inst& i, u32 m) {
  return map2<U>(w, i, m, [](U a, U b) { return static_cast<U>(a | b); });
}
template <class U>
Flow bit_xor(Warp& w, const Inst& i, u32 m) {
  return map2<U>(w, i, m, [](U a, U b) { return static_cast<U>(a ^ b); });
}
template <class U>
Flow bit_not(Warp& w, const Inst& i, u32 m) {
  return map1<U>(w, i, m, [](U a) { return static_cast<U>(~a); });
}

enum Logic : u16 { kAnd, kOr, kXor, kNot, kMove };
Flow predicate_logic(Warp& w, const Inst& i, u32 m) {
  const u32 a = w.predicates[i.a], b = i.b == kNone ? 0 : w.predicates[i.b];
  set_predicate(w, i.d, m,
                i.aux == kAnd   ? a & b
                : i.aux == kOr  ? a | b
                : i.aux == kXor ? a ^ b
                : i.aux == kNot ? ~a
                                : a);
  return Flow::kNext;
}

template <class T>
Flow shift_left(Warp& w, const Inst& i, u32 m) {
  const T* a = w.row<T>(i.a);
  const u32* b = w.row<u32>(i.b);
  T out[32];
  for (int l = 0; l < 32; ++l) out[l] = b[l] >= 8 * sizeof(T) ? T{0} : static_cast<T>(a[l] << b[l]);
  store_lanes(w.row<T>(i.d), out, m);
  return Flow::kNext;
}
template <class T>
Flow shift_right(Warp& w, const Inst& i, u32 m) {
  const T* a = w.row<T>(i.a);
  const u32* b = w.row<u32>(i.b);
  T out[32];
  for (int l = 0; l < 32; ++l) {
    const u32 by = std::min<u32>(b[l], 8 * sizeof(T) - 1);
    out[l] = static_cast<T>(b[l] >= 8 * sizeof(T) ? (a[l] >> by) >> 1 : a[l] >> by);
  }
  store_lanes(w.row<T>(i.d), out, m);
  return Flow::kNext;
}
/// aux: bit 0 right, bit 1 the amount wraps.
Flow shift_funnel(Warp& w, const Inst& i, u32 m) {
  return map3<u32>(w, i, m, [&](u32 a, u32 b, u32 c) {
    const u32 n = (i.aux & 2) != 0 ? c & 31 : std::min(c, 32u);
    const u64 both = static_cast<u64>(b) << 32 | a;
    return (i.aux & 1) != 0 ? static_cast<u32>(both >> n) : static_cast<u32>((both << n) >> 32);
  });
}

template <class U>
Flow population(Warp& w, const Inst& i, u32 m) {
  return convert1<u32, U>(w, i, m, [](U a) { return static_cast<u32>(std::popcount(a)); });
}
template <class U>
Flow leading_zeros(Warp& w, const Inst& i, u32 m) {
  return convert1<u32, U>(w, i, m, [](U a) { return static_cast<u32>(std::countl_zero(a)); });
}
template <class U>
Flow reverse(Warp& w, const Inst& i, u32 m) {
  return map1<U>(w, i, m, [](U a) {
    U r = 0;
    for (size_t k = 0; k < 8 * sizeof(U); ++k) r = static_cast<U>(r << 1 | (a >> k & 1));
    return r;
  });
}
/// The highest bit that is set (of a negative number: that is not); flag: how far it is from the top.
template <class T>
Flow find_bit(Warp& w, const Inst& i, u32 m) {
  return convert1<u32, T>(w, i, m, [&](T a) {
    using U = std::make_unsigned_t<T>;
    const U bits = static_cast<U>(a < 0 ? ~a : a);
    if (bits == 0) return ~0u;
    const u32 zeros = static_cast<u32>(std::countl_zero(bits));
    return i.flag ? zeros : static_cast<u32>(8 * sizeof(T)) - 1 - zeros;
  });
}
Flow mask_bits(Warp& w, const Inst& i, u32 m) {  // bmsk.clamp
  return map2<u32>(w, i, m, [](u32 at, u32 count) {
    if (at >= 32) return 0u;
    return static_cast<u32>((count >= 32 ? ~0ull : (1ull << count) - 1) << at);
  });
}
template <class U>
Flow insert_field(Warp& w, const Inst& i, u32 m) {
  constexpr u32 kBits = 8 * sizeof(U);
  const U *a = w.row<U>(i.a), *b = w.row<U>(i.b);
  const u32 *c = w.row<u32>(i.c), *e = w.row<u32>(i.e);
  U out[32];
  for (int l = 0; l < 32; ++l) {
    const u32 at = c[l] & 255, count = e[l] & 255;
    const U field = count >= kBits ? static_cast<U>(~U{0}) : static_cast<U>((U{1} << count) - 1);
    out[l] = at >= kBits ? b[l] : static_cast<U>((b[l] & ~(field << at)) | ((a[l] & field) << at));
  }
  store_lanes(w.row<U>(i.d), out, m);
  return Flow::kNext;
}
template <class T>
Flow extract_field(Warp& w, const Inst& i, u32 m) {
  using U = std::make_unsigned_t<T>;
  constexpr u32 kBits = 8 * sizeof(T);
  const T* a = w.row<T>(i.a);
  const u32 *c = w.row<u32>(i.b), *e = w.row<u32>(i.c);
  T out[32];
  for (int l = 0; l < 32; ++l) {
    const u32 at = c[l] & 255, count = e[l] & 255;
    U v = at < kBits ? static_cast<U>(static_cast<U>(a[l]) >> at) : U{0};
    const u32 top = std::min(at + count, kBits);  // the sign is that of the last bit of the field that exists
    const bool sign = std::is_signed_v<T> && count > 0 && (static_cast<U>(a[l]) >> (top - 1) & 1) != 0;
    if (count < kBits) {
      const U field = static_cast<U>((U{1} << count) - 1);
      v = static_cast<U>(v & field);
      if (sign) v = static_cast<U>(v | ~field);
    }
    if (sign && at + count > kBits && at < kBits) v = static_cast<U>(v | ~(static_cast<U>(~U{0}) >> at));
    if (sign && at >= kBits) v = static_cast<U>(~U{0});
    out[l] = static_cast<T>(v);
  }
  store_lanes(w.row<T>(i.d), out, m);
  return Flow::kNext;
}
Flow permute_bytes(Warp& w, const Inst& i, u32 m) {
  return map3<u32>(w, i, m, [](u32 a, u32 b, u32 c) {
    const u64 both = static_cast<u64>(b) << 32 | a;
    u32 out = 0;
    for (int k = 0; k < 4; ++k) {
      const u32 which = c >> (4 * k) & 15;
      u8 byte = static_cast<u8>(both >> (8 * (which & 7)));
      if ((which & 8) != 0) byte = (byte & 0x80) != 0 ? 0xff : 0;
      out |= static_cast<u32>(byte) << (8 * k);
    }
    return out;
  });
}
/// Any function of three bits: aux is its table.
Flow logic3(Warp& w, const Inst& i, u32 m) {
  return map3<u32>(w, i, m, [&](u32 a, u32 b, u32 c) {
    u32 out = 0;
    for (u32 k = 0; k < 8; ++k) {
      if ((i.aux >> k & 1) != 0) out |= ((k & 4) != 0 ? a : ~a) & ((k & 2) != 0 ? b : ~b) & ((k & 1) != 0 ? c : ~c);
    }
    return out;
  });
}

template <Logic L>
void decode_logic(Decoder& d) {
  const std::string type = d.take_type();
  if (type == "pred") {
    d.inst.aux = L;
    d.inst.d = d.predicate(d.arg(0));
    d.inst.a = d.predicate(d.arg(1));
    if (L != kNot) d.inst.b = d.predicate(d.arg(2));
    return d.emit(predicate_logic);
  }
  const int bytes = type_bytes(type);
  d.inst.d = d.target_row(0, bytes);
  d.inst.a = d.row(1, bytes);
  if (L != kNot) d.inst.b = d.row(2, bytes);
  d.emit(by_width(type, [](auto t) -> Exec {
    using U = decltype(t);
    return L == kAnd ? bit_and<U> : L == kOr ? bit_or<U> : L == kXor ? bit_xor<U> : bit_not<U>;
  }));
}

template <bool kRight>
void decode_shift(Decoder& d) {
  const std::string type = d.take_type();
  const int bytes = type_bytes(type);
  d.inst.d = d.target_row(0, bytes);
  d.inst.a = d.row(1, bytes);
  d.inst.b = d.row(2, 4);
  const bool is_signed = kRight && type[0] == 's';
  d.emit(is_signed ? by_integer(type, [](auto t) -> Exec { return shift_right<decltype(t)>; })
                   : by_width(type, [](auto t) -> Exec {
                       return kRight ? shift_right<decltype(t)> : shift_left<decltype(t)>;
                     }));
}

void three(Decoder& d, int bytes, int last_bytes) {
  d.inst.d = d.target_row(0, bytes);
  d.inst.a = d.row(1, bytes);
  d.inst.b = d.row(2, last_bytes);
  d.inst.c = d.row(3, last_bytes);
}
void decode_shf(Decoder& d) {
  d.take_type();
  d.inst.aux = static_cast<u16>(d.take_one({"l", "r"}) | d.take_one({"clamp", "wrap"}) << 1);
  three(d, 4, 4);
  d.emit(shift_funnel);
}
template <bool kLeading>
void decode_count(Decoder& d) {
  const std::string type = d.take_type();
  d.inst.d = d.target_row(0, 4);
  d.inst.a = d.row(1, type_bytes(type));
  d.emit(type == "b32"   ? (kLeading ? leading_zeros<u32> : population<u32>)
         : type == "b64" ? (kLeading ? leading_zeros<u64> : population<u64>)
                         : nullptr);
}
void decode_brev(Decoder& d) {
  const int bytes = type_bytes(d.take_type());
  d.inst.d = d.target_row(0, bytes);
  d.inst.a = d.row(1, bytes);
  d.emit(bytes == 4 ? reverse<u32> : reverse<u64>);
}
void decode_bfind(Decoder& d) {
  const std::string type = d.take_type();
  d.inst.flag = d.take("shiftamt");
  d.inst.d = d.target_row(0, 4);
  d.inst.a = d.row(1, type_bytes(type));
  d.emit(by_integer(type, [](auto t) -> Exec { return find_bit<decltype(t)>; }));
}
void decode_bmsk(Decoder& d) {
  d.take_type();
  if (!d.take("clamp")) d.refuse("only bmsk.clamp");
  d.inst.d = d.target_row(0, 4);
  d.inst.a = d.row(1, 4);
  d.inst.b = d.row(2, 4);
  d.emit(mask_bits);
}
void decode_bfi(Decoder& d) {
  const int bytes = type_bytes(d.take_type());
  d.inst.d = d.target_row(0, bytes);
  d.inst.a = d.row(1, bytes);
  d.inst.b = d.row(2, bytes);
  d.inst.c = d.row(3, 4);
  d.inst.e = d.row(4, 4);
  d.emit(bytes == 4 ? insert_field<u32> : bytes == 8 ? insert_field<u64> : nullptr);
}
void decode_bfe(Decoder& d) {
  const std::string type = d.take_type();
  three(d, type_bytes(type), 4);
  d.emit(by_integer(type, [](auto t) -> Exec { return extract_field<decltype(t)>; }));
}
void decode_prmt(Decoder& d) {
  d.take_type();
  three(d, 4, 4);
  d.emit(permute_bytes);
}
void decode_lop3(Decoder& d) {
  d.take_type();
  three(d, 4, 4);
  d.inst.aux = static_cast<u16>(literal_bits(d.arg(4)));
  d.emit(logic3);
}

}  // namespace

void add_bits(DecodeTable& table) {
  table["and"] = decode_logic<kAnd>;
  table["or"] = decode_logic<kOr>;
  table["xor"] = decode_logic<kXor>;
  table["not"] = decode_logic<kNot>;
  table["shl"] = decode_shift<false>;
  table["shr"] = decode_shift<true>;
  table["shf"] = decode_shf;
  table["popc"] = decode_count<false>;
  table["clz"] = decode_count<true>;
  table["brev"] = decode_brev;
  table["bfind"] = decode_bfind;
  table["bmsk"] = decode_bmsk;
  table["bfi"] = decode_bfi;
  table["bfe"] = decode_bfe;
  table["prmt"] = decode_prmt;
  table["lop3"] = decode_lop3;
}

}  // namespace cudasim::ptx
