// Floating-point arithmetic in single and double precision, and the opcodes that integers and halves share with it. The
// approximate functions are computed to within an ulp or two, which is more than the device promises.

#include <cfloat>
#include <cmath>

#include "tests/cudasim/core/numbers.h"
#include "tests/cudasim/ptx/lanes.h"
#include "tests/cudasim/ptx/text.h"
#include "tests/cudasim/ptx/types.h"

namespace cudasim::ptx {

namespace {

template <class T>
using Bits = std::conditional_t<sizeof(T) == 4, u32, u64>;

template <class T>
T flush(T x) {
  return std::fabs(x) < (sizeof(T) == 4 ? static_cast<T>(FLT_MIN) : T{0}) ? std::copysign(T{0}, x) : x;
}
template <class T>
T saturate(T x) {
  return x > T{0} ? (x < T{1} ? x : T{1}) : T{0};
}  // NaN becomes 0

struct Add {
  template <class T>
  static T of(T a, T b) {
    return a + b;
  }
};
struct Sub {
  template <class T>
  static T of(T a, T b) {
    return a - b;
  }
};
struct Mul {
  template <class T>
  static T of(T a, T b) {
    return a * b;
  }
};
struct Div {
  template <class T>
  static T of(T a, T b) {
    return a / b;
  }
};
/// The other one where one is NaN; -0 is less than +0.
struct Min {
  template <class T>
  static T of(T a, T b) {
    const T equal = std::bit_cast<T>(std::bit_cast<Bits<T>>(a) | std::bit_cast<Bits<T>>(b));
    return a != a ? b : b != b ? a : a == b ? equal : a < b ? a : b;
  }
};
struct Max {
  template <class T>
  static T of(T a, T b) {
    const T equal = std::bit_cast<T>(std::bit_cast<Bits<T>>(a) & std::bit_cast<Bits<T>>(b));
    return a != a ? b : b != b ? a : a == b ? equal : a > b ? a : b;
  }
};
struct MinNan {
  template <class T>
  static T of(T a, T b) {
    return a != a ? a : b != b ? b : Min::of(a, b);
  }
};
struct MaxNan {
  template <class T>
  static T of(T a, T b) {
    return a != a ? a : b != b ? b : Max::of(a, b);
  }
};
struct CopySign {
  template <class T>
  static T of(T a, T b) {
    return std::copysign(b, a);
  }
};
struct Neg {
  template <class T>
  static T of(T a) {
    return -a;
  }
};
struct Abs {
  template <class T>
  static T of(T a) {
    return std::fabs(a);
  }
};
struct Sqrt {
  template <class T>
  static T of(T a) {
    return std::sqrt(a);
  }
};
struct Rsqrt {
  template <class T>
  static T of(T a) {
    return T{1} / std::sqrt(a);
  }
};
struct Rcp {
  template <class T>
  static T of(T a) {
    return T{1} / a;
  }
};
/// 2^x: Taylor's series of degree 7 around the nearest integer is within 5e-9, less than an eighth of an ulp.
struct Ex2 {
  static float of(float x) {
    const float near = std::nearbyint(std::fmin(std::fmax(x, -160.f), 160.f));
    const float t = (x - near) * 0.693147180559945f;
    float p = 1.f / 5040;
    for (const float c : {1.f / 720, 1.f / 120, 1.f / 24, 1.f / 6, 1.f / 2, 1.f, 1.f}) p = std::fma(p, t, c);
    const s32 whole = static_cast<s32>(near), half = whole / 2;  // in two steps, so that small results are not lost
    const float scaled =
        p * std::bit_cast<float>((127 + half) << 23) * std::bit_cast<float>((127 + whole - half) << 23);
    return x != x ? x : x >= 128.f ? INFINITY : x <= -150.f ? 0.f : scaled;
  }
};
struct Lg2 {
  static float of(float x) { return std::log2(x); }
};
struct Sin {
  static float of(float x) { return std::sin(x); }
};
struct Cos {
  static float of(float x) { return std::cos(x); }
};
struct Tanh {
  static float of(float x) { return std::tanh(x); }
};

template <class T, class F, bool kFlush, bool kSaturate>
T finish(T x) {
  return kSaturate ? saturate(x) : kFlush ? flush(x) : x;
}

template <class T, class F, bool kFlush, bool kSaturate>
Flow unary(Warp& w, const Inst& i, u32 m) {
  return map1<T>(w, i, m, [](T a) { return finish<T, F, kFlush, kSaturate>(F::of(kFlush ? flush(a) : a)); });
}
template <class T, class F, bool kFlush, bool kSaturate>
Flow binary(Warp& w, const Inst& i, u32 m) {
  return map2<T>(w, i, m, [](T a, T b) {
    return finish<T, F, kFlush, kSaturate>(F::of(kFlush ? flush(a) : a, kFlush ? flush(b) : b));
  });
}
template <class T, bool kFlush, bool kSaturate>
Flow fused(Warp& w, const Inst& i, u32 m) {
  return map3<T>(w, i, m, [](T a, T b, T c) {
    return finish<T, Add, kFlush, kSaturate>(
        std::fma(kFlush ? flush(a) : a, kFlush ? flush(b) : b, kFlush ? flush(c) : c));
  });
}
/// What costs a call for each lane.
template <class F, bool kFlush>
Flow unary_running(Warp& w, const Inst& i, u32 m) {
  return map1_running<float, float>(
      w, i, m, [](float a) { return finish<float, F, kFlush, false>(F::of(kFlush ? flush(a) : a)); });
}

struct Mode {
  std::string type;
  int rounding;  ///< 0 to nearest, else 1 to zero, 2 down, 3 up
  bool flush, saturate;
};
Mode take_mode(Decoder& d) {
  Mode mode{d.take_type(), std::max(0, d.take_one({"rn", "rz", "rm", "rp"})), false, false};
  mode.flush = d.take("ftz");
  mode.saturate = d.take("sat");
  return mode;
}

void operands(Decoder& d, int bytes, size_t count) {
  d.inst.d = d.target_row(0, bytes);
  d.inst.a = d.row(1, bytes);
  if (count > 1) d.inst.b = d.row(2, bytes);
  if (count > 2) d.inst.c = d.row(3, bytes);
}

template <class F>
Exec pick_unary(const Mode& m) {
  if (m.type == "f64") return unary<double, F, false, false>;
  return m.saturate ? (m.flush ? unary<float, F, true, true> : unary<float, F, false, true>)
                    : (m.flush ? unary<float, F, true, false> : unary<float, F, false, false>);
}
template <class F>
Exec pick_binary(const Mode& m) {
  if (m.type == "f64") return binary<double, F, false, false>;
  return m.saturate ? (m.flush ? binary<float, F, true, true> : binary<float, F, false, true>)
                    : (m.flush ? binary<float, F, true, false> : binary<float, F, false, false>);
}

/// With another rounding than to nearest: ops_rounded.cpp.
void emit_rounded(Decoder& d, const Mode& mode) {
  d.inst.aux = static_cast<u16>(mode.rounding | (mode.flush ? 4 : 0) | (mode.saturate ? 8 : 0));
  d.emit(rounded_exec(d.opcode(), mode.type));
}
/// ops_half.cpp.
void emit_half(Decoder& d, const Mode& mode, size_t count, bool nan = false) {
  if (mode.rounding != 0 || mode.flush) d.refuse("modifiers of floats");
  operands(d, type_bytes(mode.type), count);
  d.inst.aux = static_cast<u16>((d.take("relu") ? 1 : 0) | (mode.saturate ? 2 : 0));
  d.emit(half_exec(d.opcode(), mode.type, nan));
}

template <class F, void (*kInteger)(Decoder&, const std::string&)>
void decode_binary(Decoder& d) {
  const Mode mode = take_mode(d);
  if (is_half_type(mode.type)) return emit_half(d, mode, 2);
  if (!is_float_type(mode.type)) {
    if (mode.flush || mode.saturate || mode.rounding != 0) d.refuse("modifiers of floats");
    return kInteger(d, mode.type);
  }
  if (d.opcode() == "div" && (d.take("approx") || d.take("full"))) {
  }  // computed exactly
  operands(d, type_bytes(mode.type), 2);
  if (mode.rounding != 0) return emit_rounded(d, mode);
  d.emit(pick_binary<F>(mode));
}

template <class F, class FNan, void (*kInteger)(Decoder&, const std::string&)>
void decode_extremum(Decoder& d) {
  const std::string type = d.take_type();
  const bool ftz = d.take("ftz"), nan = d.take("NaN");
  if (is_half_type(type)) return emit_half(d, {type, 0, ftz, false}, 2, nan);
  if (!is_float_type(type)) return kInteger(d, type);
  operands(d, type_bytes(type), 2);
  const Mode mode{type, 0, ftz, false};
  d.emit(nan ? pick_binary<FNan>(mode) : pick_binary<F>(mode));
}

template <class F, void (*kInteger)(Decoder&, const std::string&)>
void decode_sign(Decoder& d) {
  const std::string type = d.take_type();
  const bool ftz = d.take("ftz");
  if (is_half_type(type)) return emit_half(d, {type, 0, ftz, false}, 1);
  if (!is_float_type(type)) return kInteger(d, type);
  operands(d, type_bytes(type), 1);
  d.emit(pick_unary<F>({type, 0, ftz, false}));
}

void decode_fma(Decoder& d) {
  const Mode mode = take_mode(d);
  if (is_half_type(mode.type)) return emit_half(d, mode, 3);
  operands(d, type_bytes(mode.type), 3);
  if (!is_float_type(mode.type)) d.refuse("not for this type");
  if (mode.rounding != 0) return emit_rounded(d, mode);
  if (mode.type == "f64") return d.emit(fused<double, false, false>);
  d.emit(mode.saturate ? (mode.flush ? fused<float, true, true> : fused<float, false, true>)
                       : (mode.flush ? fused<float, true, false> : fused<float, false, false>));
}

template <class F>
void decode_root(Decoder& d) {  // sqrt, rsqrt, rcp
  Mode mode = take_mode(d);
  if (!is_float_type(mode.type)) d.refuse("not for this type");
  d.take("approx");
  operands(d, type_bytes(mode.type), 1);
  if (mode.rounding != 0) return emit_rounded(d, mode);
  d.emit(pick_unary<F>(mode));
}

template <class F>
void decode_approx(Decoder& d) {
  const std::string type = d.take_type();
  if (type != "f32" || !d.take("approx")) d.refuse("only .approx.f32");
  operands(d, 4, 1);
  d.emit(d.take("ftz") ? unary_running<F, true> : unary_running<F, false>);
}
void decode_ex2(Decoder& d) {
  const std::string type = d.take_type();
  if (type != "f32" || !d.take("approx")) d.refuse("only .approx.f32");
  operands(d, 4, 1);
  d.emit(d.take("ftz") ? unary<float, Ex2, true, false> : unary<float, Ex2, false, false>);
}
void decode_copysign(Decoder& d) {
  const Mode mode = take_mode(d);
  operands(d, type_bytes(mode.type), 2);
  d.emit(pick_binary<CopySign>(mode));
}

}  // namespace

void add_float(DecodeTable& table) {
  table["add"] = decode_binary<Add, integer_add>;
  table["sub"] = decode_binary<Sub, integer_sub>;
  table["mul"] = decode_binary<Mul, integer_mul>;
  table["div"] = decode_binary<Div, integer_div>;
  table["min"] = decode_extremum<Min, MinNan, integer_min>;
  table["max"] = decode_extremum<Max, MaxNan, integer_max>;
  table["neg"] = decode_sign<Neg, integer_neg>;
  table["abs"] = decode_sign<Abs, integer_abs>;
  table["fma"] = decode_fma;
  table["sqrt"] = decode_root<Sqrt>;
  table["rsqrt"] = decode_root<Rsqrt>;
  table["rcp"] = decode_root<Rcp>;
  table["ex2"] = decode_ex2;
  table["lg2"] = decode_approx<Lg2>;
  table["sin"] = decode_approx<Sin>;
  table["cos"] = decode_approx<Cos>;
  table["tanh"] = decode_approx<Tanh>;
  table["copysign"] = decode_copysign;
}

}  // namespace cudasim::ptx
