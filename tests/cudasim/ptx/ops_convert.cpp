// cvt: between integers, floats and the narrow floats. A pair of types, a rounding and a saturation make one Exec.

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "tests/cudasim/core/numbers.h"
#include "tests/cudasim/ptx/lanes.h"
#include "tests/cudasim/ptx/text.h"
#include "tests/cudasim/ptx/types.h"

namespace cudasim::ptx {

namespace {

struct F16 {
  u16 bits;
};
struct Bf16 {
  u16 bits;
};

enum Rounding : u16 { kNearest, kZero, kDown, kUp };
constexpr u16 kRoundingBits = 3, kToIntegral = 4, kSaturate = 8, kFlush = 16, kRelu = 32;  ///< of aux

template <class T>
constexpr bool is_narrow = std::is_same_v<T, F16> || std::is_same_v<T, Bf16>;
template <class T>
constexpr bool is_floating = std::is_floating_point_v<T> || is_narrow<T>;

template <class A>
auto widen(A a) {
  if constexpr (std::is_same_v<A, F16>) {
    return from_f16(a.bits);
  } else if constexpr (std::is_same_v<A, Bf16>) {
    return from_bf16(a.bits);
  } else {
    return a;
  }
}

template <class T>
T round_to_integral(T x, u16 mode) {
  switch (mode & kRoundingBits) {
    case kZero:
      return std::trunc(x);
    case kDown:
      return std::floor(x);
    case kUp:
      return std::ceil(x);
    default:
      return std::nearbyint(x);
  }
}

/// Clamped to the integer's range; NaN becomes 0.
template <class D, class T>
D to_integer(T x, u16 mode) {
  const double rounded = static_cast<double>(round_to_integral(x, mode));
  if (rounded != rounded) return 0;
  if (rounded <= static_cast<double>(std::numeric_limits<D>::min())) return std::numeric_limits<D>::min();
  if (rounded >= static_cast<double>(std::numeric_limits<D>::max())) return std::numeric_limits<D>::max();
  return static_cast<D>(rounded);
}

/// Moves a value that was rounded to nearest one step, where the mode wants the neighbour. `next` steps towards the
/// second.
template <class D, class Wide, class Next>
D directed(D near, Wide exact, Wide value, u16 mode, Next next) {
  const u16 rounding = mode & kRoundingBits;
  const bool down = rounding == kDown || (rounding == kZero && exact > 0);
  if (rounding == kNearest || exact != exact) return near;
  if (down && value > exact) return next(near, false);
  if (!down && value < exact) return next(near, true);
  return near;
}

u16 step_bits(u16 bits, bool up) {  // the neighbour of a narrow float
  if ((bits & 0x7fff) == 0) return up ? 1 : 0x8001;
  return static_cast<u16>(((bits & 0x8000) == 0) == up ? bits + 1 : bits - 1);
}

template <class D>
D narrow_from(double exact, u16 mode) {
  if constexpr (std::is_same_v<D, F16>) {
    const u16 near = to_f16(to_odd_float(exact));
    return {directed<u16, double>(near, exact, from_f16(near), mode, step_bits)};
  } else {
    const u16 near = to_bf16(to_odd_float(exact));
    return {directed<u16, double>(near, exact, from_bf16(near), mode, step_bits)};
  }
}

template <class D, class A>
D convert(A input, u16 mode) {
  auto a = widen(input);
  if constexpr (!is_floating<D> && !is_floating<A>) {
    if ((mode & kSaturate) != 0) {
      const __int128 wide = a;  // with its sign: NOLINT(bugprone-signed-char-misuse)
      return static_cast<D>(std::clamp<__int128>(wide, std::numeric_limits<D>::min(), std::numeric_limits<D>::max()));
    }
    return static_cast<D>(a);
  } else {
    if constexpr (std::is_same_v<A, float>) a = (mode & kFlush) != 0 ? flush_subnormal(a) : a;
    if constexpr (!is_floating<D>) {
      return to_integer<D>(a, mode);
    } else {
      if constexpr (is_floating<A>) {
        if ((mode & kToIntegral) != 0) a = round_to_integral(a, mode);
      }
      if constexpr (is_narrow<D>) {
        double exact = static_cast<double>(a);
        if ((mode & kRelu) != 0 && exact < 0) exact = 0;
        if ((mode & kSaturate) != 0) exact = exact > 0 ? std::min(exact, 1.0) : 0;
        return narrow_from<D>(exact, (mode & kToIntegral) != 0 ? u16{kNearest} : mode);
      } else {
        D out = static_cast<D>(a);
        if constexpr (std::is_same_v<D, float> && !std::is_same_v<A, float> && !is_narrow<A>) {
          if ((mode & kToIntegral) == 0) {
            out = directed<float, long double>(out, static_cast<long double>(a), out, mode, [](float x, bool up) {
              return std::nextafter(x, up ? INFINITY : -INFINITY);
            });
          }
        }
        if ((mode & kSaturate) != 0) out = out > 0 ? std::min<D>(out, 1) : D{0};
        if constexpr (std::is_same_v<D, float>) out = (mode & kFlush) != 0 ? flush_subnormal(out) : out;
        return out;
      }
    }
  }
}

/// memory: bytes of the source's register; reg: of the target's, which may be wider than the type.
template <class D, class A>
Flow convert_lanes(Warp& w, const Inst& i, u32 m) {
  if constexpr (sizeof(D) >= 4 && sizeof(A) >= 4) {
    if (i.memory == sizeof(A) && i.reg == sizeof(D)) {
      return convert1<D, A>(w, i, m, [&](A a) { return convert<D, A>(a, i.aux); });
    }
  }
  each_lane(m, [&](int l) {
    A a;
    std::memcpy(&a, w.rows + i.a + l * i.memory, sizeof(A));
    const D out = convert<D, A>(a, i.aux);
    s64 wide = 0;  // sign- or zero-extended into the register
    if constexpr (std::is_integral_v<D>) {
      wide = static_cast<s64>(out);  // NOLINT(bugprone-signed-char-misuse)
    } else {
      std::memcpy(&wide, &out, sizeof(D));
    }
    std::memcpy(w.rows + i.d + l * i.reg, &wide, i.reg);
  });
  return Flow::kNext;
}

template <class Make>
Exec by_any(const std::string& type, Make make) {
  if (type == "u8") return make(u8{});
  if (type == "s8") return make(s8{});
  if (type == "f16") return make(F16{});
  if (type == "bf16") return make(Bf16{});
  if (type == "f32") return make(float{});
  if (type == "f64") return make(double{});
  return by_integer(type, make);
}

/// Two floats into two narrow ones; a is the upper. aux as above.
template <class D>
Flow convert_pair(Warp& w, const Inst& i, u32 m) {
  const float *a = w.row<float>(i.a), *b = w.row<float>(i.b);
  u32* d = w.row<u32>(i.d);
  each_lane(m, [&](int l) {
    const u16 upper = convert<D, float>(a[l], i.aux).bits, lower = convert<D, float>(b[l], i.aux).bits;
    d[l] = static_cast<u32>(upper) << 16 | lower;
  });
  return Flow::kNext;
}

template <Float8 kFormat>
Flow floats_to_f8(Warp& w, const Inst& i, u32 m) {
  const float *a = w.row<float>(i.a), *b = w.row<float>(i.b);
  u16* d = w.row<u16>(i.d);
  const auto value = [&](float x) { return (i.aux & kRelu) != 0 && x < 0 ? 0.f : x; };
  each_lane(m, [&](int l) { d[l] = static_cast<u16>(to_f8(value(a[l]), kFormat) << 8 | to_f8(value(b[l]), kFormat)); });
  return Flow::kNext;
}
template <Float8 kFormat>
Flow halves_to_f8(Warp& w, const Inst& i, u32 m) {
  const u32* a = w.row<u32>(i.a);
  u16* d = w.row<u16>(i.d);
  each_lane(m, [&](int l) {
    const float high = from_f16(static_cast<u16>(a[l] >> 16)), low = from_f16(static_cast<u16>(a[l]));
    d[l] = static_cast<u16>(to_f8(high, kFormat) << 8 | to_f8(low, kFormat));
  });
  return Flow::kNext;
}
template <Float8 kFormat>
Flow f8_to_halves(Warp& w, const Inst& i, u32 m) {
  const u16* a = w.row<u16>(i.a);
  u32* d = w.row<u32>(i.d);
  each_lane(m, [&](int l) {
    const u16 high = to_f16(from_f8(static_cast<u8>(a[l] >> 8), kFormat)),
              low = to_f16(from_f8(static_cast<u8>(a[l]), kFormat));
    d[l] = static_cast<u32>(high) << 16 | low;
  });
  return Flow::kNext;
}
Flow float_to_tf32(Warp& w, const Inst& i, u32 m) { return map1<float>(w, i, m, to_tf32); }

void decode_f8(Decoder& d, const std::string& to, const std::string& from) {
  if (from == "e4m3x2" || from == "e5m2x2") {
    d.take("rn");
    if (to != "f16x2") d.refuse("only to f16x2");
    d.inst.d = d.target_row(0, 4);
    d.inst.a = d.row(1, 2);
    return d.emit(from == "e4m3x2" ? f8_to_halves<Float8::kE4M3> : f8_to_halves<Float8::kE5M2>);
  }
  if (!d.take("rn") || !d.take("satfinite")) d.refuse("only .rn.satfinite");
  d.inst.aux = d.take("relu") ? kRelu : 0;
  d.inst.d = d.target_row(0, 2);
  d.inst.a = d.row(1, 4);
  if (from == "f16x2") return d.emit(to == "e4m3x2" ? halves_to_f8<Float8::kE4M3> : halves_to_f8<Float8::kE5M2>);
  if (from != "f32") d.refuse("only from f32 or f16x2");
  d.inst.b = d.row(2, 4);
  d.emit(to == "e4m3x2" ? floats_to_f8<Float8::kE4M3> : floats_to_f8<Float8::kE5M2>);
}

void decode_cvt(Decoder& d) {
  const std::string from = d.take_type(), to = d.take_type();
  if (to == "e4m3x2" || to == "e5m2x2" || from == "e4m3x2" || from == "e5m2x2") return decode_f8(d, to, from);
  if (to == "tf32") {
    if (!d.take("rna") || from != "f32") d.refuse("only cvt.rna.tf32.f32");
    d.inst.d = d.target_row(0, 4);
    d.inst.a = d.row(1, 4);
    return d.emit(float_to_tf32);
  }
  const int integral = d.take_one({"rni", "rzi", "rmi", "rpi"});
  const int rounding = integral >= 0 ? integral : std::max(0, d.take_one({"rn", "rz", "rm", "rp"}));
  d.inst.aux = static_cast<u16>(rounding | (integral >= 0 ? kToIntegral : 0) | (d.take("sat") ? kSaturate : 0) |
                                (d.take("ftz") ? kFlush : 0) | (d.take("relu") ? kRelu : 0));
  if (to == "bf16x2" || to == "f16x2") {
    if (from != "f32") d.refuse("only from f32");
    d.inst.d = d.target_row(0, 4);
    d.inst.a = d.row(1, 4);
    d.inst.b = d.row(2, 4);
    return d.emit(to == "bf16x2" ? convert_pair<Bf16> : convert_pair<F16>);
  }
  d.inst.d = d.target_row(0, type_bytes(to), &d.inst.reg);
  d.inst.a = d.row(1, type_bytes(from), &d.inst.memory);
  if (d.inst.reg < type_bytes(to) || d.inst.memory < type_bytes(from)) d.refuse("a register is too small");
  d.emit(by_any(to, [&](auto target) -> Exec {
    using D = decltype(target);
    return by_any(from, [](auto source) -> Exec { return convert_lanes<D, decltype(source)>; });
  }));
}

}  // namespace

void add_convert(DecodeTable& table) { table["cvt"] = decode_cvt; }

}  // namespace cudasim::ptx
