// Comparisons into predicates, and choices by them: setp, selp, slct, testp.

#include <cmath>

#include "tests/cudasim/core/numbers.h"
#include "tests/cudasim/ptx/lanes.h"
#include "tests/cudasim/ptx/text.h"
#include "tests/cudasim/ptx/types.h"

namespace cudasim::ptx {

namespace {

enum Compare : u16 { kEq, kNe, kLt, kLe, kGt, kGe, kNum, kNan };
constexpr u16 kUnordered = 8;  ///< true, too, where one is NaN
enum Combine : u16 { kAlone, kAnd, kOr, kXor };

template <class T, u16 kCompare>
bool holds(T a, T b) {
  switch (kCompare & 7) {
    case kEq:
      return a == b;
    case kNe:
      return a < b || a > b;
    case kLt:
      return a < b;
    case kLe:
      return a <= b;
    case kGt:
      return a > b;
    case kGe:
      return a >= b;
    case kNum:
      return a == a && b == b;
    default:
      return a != a || b != b;
  }
}

template <class T>
T operand(T value, bool flush) {
  if constexpr (std::is_same_v<T, float>) {
    if (flush) return flush_subnormal(value);
  }
  return value;
}

/// aux: how the result is combined with predicate c; flag: c is negated; weak: subnormals are flushed. e: a second
/// predicate, for the opposite.
template <class T, u16 kCompare>
Flow compare(Warp& w, const Inst& i, u32 m) {
  const T *a = w.row<T>(i.a), *b = w.row<T>(i.b);
  u32 bits = 0;
  for (int l = 0; l < 32; ++l) {
    const T x = operand(a[l], i.weak), y = operand(b[l], i.weak);
    const bool nan = (kCompare & kUnordered) != 0 && (x != x || y != y);
    bits |= static_cast<u32>(nan || holds<T, kCompare>(x, y)) << l;
  }
  const auto combined = [&](u32 value) {
    if (i.aux == kAlone) return value;
    const u32 other = i.flag ? ~w.predicates[i.c] : w.predicates[i.c];
    return i.aux == kAnd ? value & other : i.aux == kOr ? value | other : value ^ other;
  };
  const u32 yes = combined(bits), no = combined(~bits);
  set_predicate(w, i.d, m, yes);
  if (i.e != kNone) set_predicate(w, i.e, m, no);
  return Flow::kNext;
}

template <u16 kCompare, class Format>
struct HalfCompare {
  static Flow run(Warp& w, const Inst& i, u32 m) {
    const u16 *a = w.row<u16>(i.a), *b = w.row<u16>(i.b);
    u32 bits = 0;
    for (int l = 0; l < 32; ++l) {
      const float x = Format::wide(a[l]), y = Format::wide(b[l]);
      const bool nan = (kCompare & kUnordered) != 0 && (x != x || y != y);
      bits |= static_cast<u32>(nan || holds<float, kCompare>(x, y)) << l;
    }
    set_predicate(w, i.d, m, bits);
    return Flow::kNext;
  }
};
struct F16 {
  static float wide(u16 bits) { return from_f16(bits); }
};
struct Bf16 {
  static float wide(u16 bits) { return from_bf16(bits); }
};

template <u16 kCompare>
Exec pick_type(const std::string& type) {
  if (type == "f32") return compare<float, kCompare>;
  if (type == "f64") return compare<double, kCompare>;
  if (type == "f16") return HalfCompare<kCompare, F16>::run;
  if (type == "bf16") return HalfCompare<kCompare, Bf16>::run;
  if constexpr (kCompare < kNum) {
    if (type[0] == 'b') return by_width(type, [](auto t) -> Exec { return compare<decltype(t), kCompare>; });
    return by_integer(type, [](auto t) -> Exec { return compare<decltype(t), kCompare>; });
  }
  return nullptr;
}

template <u16... kCompares>
Exec pick(int which, const std::string& type) {
  Exec out = nullptr;
  int index = 0;
  ((index++ == which ? (void)(out = pick_type<kCompares>(type)) : (void)0), ...);
  return out;
}

void decode_setp(Decoder& d) {
  const std::string type = d.take_type();
  const int which = d.take_one({"eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs", "equ", "neu", "ltu", "leu",
                                "gtu", "geu", "num", "nan"});
  d.inst.aux = static_cast<u16>(d.take_one({"and", "or", "xor"}) + 1);
  d.inst.weak = d.take("ftz");
  if (d.inst.weak && type != "f32") d.refuse(".ftz is for f32");
  if (d.inst.aux != kAlone) d.inst.c = d.predicate(d.arg(3), &d.inst.flag);
  if (is_half_type(type) && d.inst.aux != kAlone) d.refuse("combined with a predicate");
  const std::vector<std::string> targets = split(d.arg(0), '|');
  d.inst.d = d.predicate(targets.at(0));
  if (targets.size() > 1) d.inst.e = d.predicate(targets[1]);
  d.inst.a = d.row(1, type_bytes(type));
  d.inst.b = d.row(2, type_bytes(type));
  d.emit(pick<kEq, kNe, kLt, kLe, kGt, kGe, kLt, kLe, kGt, kGe, kEq | kUnordered, kNe | kUnordered, kLt | kUnordered,
              kLe | kUnordered, kGt | kUnordered, kGe | kUnordered, kNum, kNan>(which, type));
}

template <class U>
Flow choose(Warp& w, const Inst& i, u32 m) {
  const u32 p = w.predicates[i.c];
  const U *a = w.row<U>(i.a), *b = w.row<U>(i.b);
  U out[32];
  for (int l = 0; l < 32; ++l) out[l] = (p >> l & 1) != 0 ? a[l] : b[l];
  store_lanes(w.row<U>(i.d), out, m);
  return Flow::kNext;
}
void decode_selp(Decoder& d) {
  const int bytes = type_bytes(d.take_type());
  d.inst.d = d.target_row(0, bytes);
  d.inst.a = d.row(1, bytes);
  d.inst.b = d.row(2, bytes);
  d.inst.c = d.predicate(d.arg(3));
  d.emit(by_bytes(bytes, [](auto t) -> Exec { return choose<decltype(t)>; }));
}

/// aux: 0 finite, 1 infinite, 2 number, 3 notanumber, 4 normal, 5 subnormal.
template <class T>
Flow test(Warp& w, const Inst& i, u32 m) {
  static constexpr int kClass[] = {0, FP_INFINITE, 0, FP_NAN, FP_NORMAL, FP_SUBNORMAL};
  const T* a = w.row<T>(i.a);
  u32 bits = 0;
  each_lane(m, [&](int l) {
    const int is = std::fpclassify(a[l]);
    const bool yes = i.aux == 0 ? is != FP_INFINITE && is != FP_NAN : i.aux == 2 ? is != FP_NAN : is == kClass[i.aux];
    bits |= static_cast<u32>(yes) << l;
  });
  set_predicate(w, i.d, m, bits);
  return Flow::kNext;
}
void decode_testp(Decoder& d) {
  const std::string type = d.take_type();
  const int which = d.take_one({"finite", "infinite", "number", "notanumber", "normal", "subnormal"});
  if (which < 0) d.refuse("which test?");
  d.inst.aux = static_cast<u16>(which);
  d.inst.d = d.predicate(d.arg(0));
  d.inst.a = d.row(1, type_bytes(type));
  d.emit(type == "f32" ? test<float> : type == "f64" ? test<double> : nullptr);
}

}  // namespace

void add_compare(DecodeTable& table) {
  table["setp"] = decode_setp;
  table["selp"] = decode_selp;
  table["testp"] = decode_testp;
}

}  // namespace cudasim::ptx
