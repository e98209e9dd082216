// Integer arithmetic: add, sub, mul, mad, div, rem, min, max, neg, abs, dot products.

#include <type_traits>

#include "tests/cudasim/ptx/decoder.h"
#include "tests/cudasim/ptx/lanes.h"
#include "tests/cudasim/ptx/text.h"
#include "tests/cudasim/ptx/types.h"

namespace cudasim::ptx {

namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;

struct Min {
  template <class T>
  static T of(T a, T b) {
    return b < a ? b : a;
  }
};
struct Max {
  template <class T>
  static T of(T a, T b) {
    return a < b ? b : a;
  }
};

template <class T, class F>
Flow binary(Warp& w, const Inst& i, u32 m) {
  return map2<T>(w, i, m, [](T a, T b) { return F::of(a, b); });
}

/// A zero divisor gives all ones, as the device does; the smallest by -1 wraps.
template <class T>
Flow divide(Warp& w, const Inst& i, u32 m) {
  return map2_running<T>(w, i, m, [](T a, T b) -> T {
    if (b == 0) return static_cast<T>(~Unsigned<T>{0});
    if (std::is_signed_v<T> && b == static_cast<T>(-1))
      return static_cast<T>(Unsigned<T>{0} - static_cast<Unsigned<T>>(a));
    return static_cast<T>(a / b);
  });
}
template <class T>
Flow remainder(Warp& w, const Inst& i, u32 m) {
  return map2_running<T>(w, i, m, [](T a, T b) -> T {
    if (b == 0) return a;
    return std::is_signed_v<T> && b == static_cast<T>(-1) ? T{0} : static_cast<T>(a % b);
  });
}
template <class T>
Flow absolute(Warp& w, const Inst& i, u32 m) {
  return map1<T>(w, i, m, [](T a) -> T {
    return static_cast<T>(a < 0 ? Unsigned<T>{0} - static_cast<Unsigned<T>>(a) : static_cast<Unsigned<T>>(a));
  });
}
/// Without a sign, so that overflow wraps.
template <class U>
Flow add(Warp& w, const Inst& i, u32 m) {
  return map2<U>(w, i, m, [](U a, U b) { return static_cast<U>(a + b); });
}
template <class U>
Flow subtract(Warp& w, const Inst& i, u32 m) {
  return map2<U>(w, i, m, [](U a, U b) { return static_cast<U>(a - b); });
}
template <class U>
Flow multiply(Warp& w, const Inst& i, u32 m) {
  return map2<U>(w, i, m, [](U a, U b) { return static_cast<U>(u64{a} * b); });
}
template <class U>
Flow multiply_add(Warp& w, const Inst& i, u32 m) {
  return map3<U>(w, i, m, [](U a, U b, U c) { return static_cast<U>(u64{a} * b + c); });
}
template <class U>
Flow negate(Warp& w, const Inst& i, u32 m) {
  return map1<U>(w, i, m, [](U a) { return static_cast<U>(U{0} - a); });
}

template <class T>
struct Wide;
template <>
struct Wide<s16> {
  using type = s32;
};
template <>
struct Wide<u16> {
  using type = u32;
};
template <>
struct Wide<s32> {
  using type = s64;
};
template <>
struct Wide<u32> {
  using type = u64;
};
template <>
struct Wide<s64> {
  using type = __int128;
};
template <>
struct Wide<u64> {
  using type = unsigned __int128;
};

template <class T>
Flow multiply_high(Warp& w, const Inst& i, u32 m) {
  using W = typename Wide<T>::type;
  return map2<T>(w, i, m, [](T a, T b) { return static_cast<T>((static_cast<W>(a) * b) >> (8 * sizeof(T))); });
}
template <class T>
Flow multiply_high_add(Warp& w, const Inst& i, u32 m) {
  using W = typename Wide<T>::type;
  return map3<T>(w, i, m, [](T a, T b, T c) {
    return static_cast<T>(static_cast<Unsigned<T>>((static_cast<W>(a) * b) >> (8 * sizeof(T))) +
                          static_cast<Unsigned<T>>(c));
  });
}
template <class T>
Flow multiply_wide(Warp& w, const Inst& i, u32 m) {
  using W = typename Wide<T>::type;
  const T *a = w.row<T>(i.a), *b = w.row<T>(i.b);
  W out[32];
  for (int l = 0; l < 32; ++l) out[l] = static_cast<W>(a[l]) * b[l];
  store_lanes(w.row<W>(i.d), out, m);
  return Flow::kNext;
}
template <class T>
Flow multiply_wide_add(Warp& w, const Inst& i, u32 m) {
  using W = typename Wide<T>::type;
  const T *a = w.row<T>(i.a), *b = w.row<T>(i.b);
  const Unsigned<W>* c = w.row<Unsigned<W>>(i.c);
  Unsigned<W> out[32];
  for (int l = 0; l < 32; ++l) out[l] = static_cast<Unsigned<W>>(static_cast<W>(a[l]) * b[l]) + c[l];
  store_lanes(w.row<Unsigned<W>>(i.d), out, m);
  return Flow::kNext;
}

/// aux: bit 0, the bytes of a are signed; bit 1, those of b.
Flow dot4(Warp& w, const Inst& i, u32 m) {
  return map3<u32>(w, i, m, [&](u32 a, u32 b, u32 c) {
    u32 sum = c;
    for (int k = 0; k < 4; ++k) {
      const u8 x = static_cast<u8>(a >> 8 * k), y = static_cast<u8>(b >> 8 * k);
      sum +=
          static_cast<u32>(((i.aux & 1) != 0 ? static_cast<s8>(x) : x) * ((i.aux & 2) != 0 ? static_cast<s8>(y) : y));
    }
    return sum;
  });
}

void operands(Decoder& d, int bytes, size_t count) {
  d.inst.d = d.target_row(0, bytes);
  d.inst.a = d.row(1, bytes);
  if (count > 1) d.inst.b = d.row(2, bytes);
  if (count > 2) d.inst.c = d.row(3, bytes);
}

void decode_wide(Decoder& d, const std::string& type, bool add_third) {
  const int bytes = type_bytes(type);
  d.inst.d = d.target_row(0, 2 * bytes);
  d.inst.a = d.row(1, bytes);
  d.inst.b = d.row(2, bytes);
  if (add_third) d.inst.c = d.row(3, 2 * bytes);
  const auto exec = [&]<class T>(T) -> Exec { return add_third ? multiply_wide_add<T> : multiply_wide<T>; };
  d.emit(type == "s16"   ? exec(s16{})
         : type == "u16" ? exec(u16{})
         : type == "s32" ? exec(s32{})
         : type == "u32" ? exec(u32{})
                         : nullptr);
}

}  // namespace

// NOLINTBEGIN(bugprone-macro-parentheses): F is the name of a template
#define SS_BY_WIDTH(F, type) by_width((type), [](auto t) -> Exec { return F<decltype(t)>; })
#define SS_BY_INTEGER(F, type) by_integer((type), [](auto t) -> Exec { return F<decltype(t)>; })
// NOLINTEND(bugprone-macro-parentheses)

void integer_add(Decoder& d, const std::string& type) {
  if (d.take("cc")) return carry_add(d, type);
  operands(d, type_bytes(type), 2);
  d.emit(SS_BY_WIDTH(add, type));
}
void integer_sub(Decoder& d, const std::string& type) {
  if (d.take("cc")) return carry_sub(d, type);
  operands(d, type_bytes(type), 2);
  d.emit(SS_BY_WIDTH(subtract, type));
}
void integer_neg(Decoder& d, const std::string& type) {
  operands(d, type_bytes(type), 1);
  d.emit(SS_BY_WIDTH(negate, type));
}
void integer_abs(Decoder& d, const std::string& type) {
  operands(d, type_bytes(type), 1);
  d.emit(type == "s32" ? absolute<s32> : type == "s64" ? absolute<s64> : type == "s16" ? absolute<s16> : nullptr);
}
void integer_min(Decoder& d, const std::string& type) {
  operands(d, type_bytes(type), 2);
  d.emit(by_integer(type, [](auto t) -> Exec { return binary<decltype(t), Min>; }));
}
void integer_max(Decoder& d, const std::string& type) {
  operands(d, type_bytes(type), 2);
  d.emit(by_integer(type, [](auto t) -> Exec { return binary<decltype(t), Max>; }));
}
void integer_div(Decoder& d, const std::string& type) {
  operands(d, type_bytes(type), 2);
  d.emit(SS_BY_INTEGER(divide, type));
}
void integer_mul(Decoder& d, const std::string& type) {
  if (d.take("wide")) return decode_wide(d, type, false);
  operands(d, type_bytes(type), 2);
  if (d.take("hi")) return d.emit(SS_BY_INTEGER(multiply_high, type));
  if (!d.take("lo")) d.refuse("neither .lo, .hi nor .wide");
  d.emit(SS_BY_WIDTH(multiply, type));
}

namespace {

void decode_mad(Decoder& d) {
  const std::string type = d.take_type();
  if (d.take("cc")) return carry_mad(d, type);
  if (d.take("wide")) return decode_wide(d, type, true);
  operands(d, type_bytes(type), 3);
  if (d.take("hi")) return d.emit(SS_BY_INTEGER(multiply_high_add, type));
  if (!d.take("lo")) d.refuse("neither .lo, .hi nor .wide");
  d.emit(SS_BY_WIDTH(multiply_add, type));
}
void decode_rem(Decoder& d) {
  const std::string type = d.take_type();
  operands(d, type_bytes(type), 2);
  d.emit(SS_BY_INTEGER(remainder, type));
}
void decode_dp4a(Decoder& d) {
  const std::string b = d.take_type(), a = d.take_type();
  d.inst.aux = static_cast<u16>((a == "s32" ? 1 : 0) | (b == "s32" ? 2 : 0));
  operands(d, 4, 3);
  d.emit(dot4);
}

}  // namespace

void add_integer(DecodeTable& table) {
  table["mad"] = decode_mad;
  table["rem"] = decode_rem;
  table["dp4a"] = decode_dp4a;
}

}  // namespace cudasim::ptx
