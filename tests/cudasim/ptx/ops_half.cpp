// Arithmetic on float16 and bfloat16, alone or two in a register: computed wide and rounded once.

#include <cmath>

#include "tests/cudasim/core/numbers.h"
#include "tests/cudasim/ptx/decoder.h"
#include "tests/cudasim/ptx/lanes.h"

namespace cudasim::ptx {

namespace {

struct F16 {
  static float wide(u16 bits) { return from_f16(bits); }
  static u16 narrow(float value) { return to_f16(value); }
};
struct Bf16 {
  static float wide(u16 bits) { return from_bf16(bits); }
  static u16 narrow(float value) { return to_bf16(value); }
};

// One rounding from float is enough for these: a float has more than twice the bits and two more.
struct Add {
  static float of(float a, float b, float) { return a + b; }
};
struct Sub {
  static float of(float a, float b, float) { return a - b; }
};
struct Mul {
  static float of(float a, float b, float) { return a * b; }
};
struct Fma {
  static float of(float a, float b, float c) { return narrow_fma(a, b, c); }
};
struct Min {
  static float of(float a, float b, float) { return std::fmin(a, b); }
};
struct Max {
  static float of(float a, float b, float) { return std::fmax(a, b); }
};
struct MinNan {
  static float of(float a, float b, float) { return a != a || b != b ? NAN : std::fmin(a, b); }
};
struct MaxNan {
  static float of(float a, float b, float) { return a != a || b != b ? NAN : std::fmax(a, b); }
};
struct Neg {
  static float of(float a, float, float) { return -a; }
};
struct Abs {
  static float of(float a, float, float) { return std::fabs(a); }
};

/// aux: bit 0 relu, bit 1 saturates to [0, 1].
template <class Format, class F, int kCount>
Flow half(Warp& w, const Inst& i, u32 m) {
  using Row = std::conditional_t<kCount == 2, u32, u16>;
  const Row* a = w.row<Row>(i.a);
  const Row* b = i.b == kNone ? a : w.row<Row>(i.b);
  const Row* c = i.c == kNone ? a : w.row<Row>(i.c);
  Row out[32] = {};
  each_lane(m, [&](int l) {
    u32 packed = 0;
    for (int k = 0; k < kCount; ++k) {
      const auto part = [&](const Row* row) { return Format::wide(static_cast<u16>(row[l] >> 16 * k)); };
      float value = F::of(part(a), part(b), part(c));
      if ((i.aux & 1) != 0) value = value != value ? value : value > 0 ? value : 0.f;
      if ((i.aux & 2) != 0) value = value > 0 ? (value < 1 ? value : 1.f) : 0.f;
      packed |= static_cast<u32>(Format::narrow(value)) << 16 * k;
    }
    out[l] = static_cast<Row>(packed);
  });
  store_lanes(w.row<Row>(i.d), out, m);
  return Flow::kNext;
}

template <class F>
Exec pick(const std::string& type) {
  if (type == "f16") return half<F16, F, 1>;
  if (type == "f16x2") return half<F16, F, 2>;
  if (type == "bf16") return half<Bf16, F, 1>;
  return type == "bf16x2" ? Exec{half<Bf16, F, 2>} : nullptr;
}

}  // namespace

Exec half_exec(const std::string& opcode, const std::string& type, bool nan) {
  if (opcode == "add") return pick<Add>(type);
  if (opcode == "sub") return pick<Sub>(type);
  if (opcode == "mul") return pick<Mul>(type);
  if (opcode == "fma") return pick<Fma>(type);
  if (opcode == "min") return nan ? pick<MinNan>(type) : pick<Min>(type);
  if (opcode == "max") return nan ? pick<MaxNan>(type) : pick<Max>(type);
  if (opcode == "neg") return pick<Neg>(type);
  if (opcode == "abs") return pick<Abs>(type);
  return nullptr;
}

}  // namespace cudasim::ptx
