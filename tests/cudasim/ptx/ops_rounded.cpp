// Arithmetic that rounds to zero, down or up: the processor's own rounding mode is switched around the loop, which is
// not inlined, so that nothing moves out of it. Built with -frounding-math.

#include <immintrin.h>

#include <cfloat>
#include <cmath>

#include "tests/cudasim/ptx/decoder.h"
#include "tests/cudasim/ptx/lanes.h"

namespace cudasim::ptx {

namespace {

struct Add {
  template <class T>
  static T of(T a, T b, T) {
    return a + b;
  }
};
struct Sub {
  template <class T>
  static T of(T a, T b, T) {
    return a - b;
  }
};
struct Mul {
  template <class T>
  static T of(T a, T b, T) {
    return a * b;
  }
};
struct Div {
  template <class T>
  static T of(T a, T b, T) {
    return a / b;
  }
};
struct Fma {
  template <class T>
  static T of(T a, T b, T c) {
    return std::fma(a, b, c);
  }
};
struct Sqrt {
  template <class T>
  static T of(T a, T, T) {
    return std::sqrt(a);
  }
};
struct Rcp {
  template <class T>
  static T of(T a, T, T) {
    return T{1} / a;
  }
};

template <class T, class F>
__attribute__((noinline)) void compute(const T* a, const T* b, const T* c, T* out) {
  for (int l = 0; l < 32; ++l) out[l] = F::of(a[l], b[l], c[l]);
}

template <class T>
void flush(T* values) {
  for (int l = 0; l < 32; ++l) {
    if (sizeof(T) == 4 && std::fabs(values[l]) < static_cast<T>(FLT_MIN)) values[l] = std::copysign(T{0}, values[l]);
  }
}

/// aux: rounding 1 to zero, 2 down, 3 up; bit 2 flushes subnormal results, bit 3 saturates.
template <class T, class F>
Flow rounded(Warp& w, const Inst& i, u32 m) {
  static constexpr unsigned kModes[] = {_MM_ROUND_NEAREST, _MM_ROUND_TOWARD_ZERO, _MM_ROUND_DOWN, _MM_ROUND_UP};
  const T* a = w.row<T>(i.a);
  const T* b = i.b == kNone ? a : w.row<T>(i.b);
  const T* c = i.c == kNone ? a : w.row<T>(i.c);
  T out[32];
  const unsigned before = _mm_getcsr();
  _mm_setcsr((before & ~static_cast<unsigned>(_MM_ROUND_MASK)) | kModes[i.aux & 3]);
  compute<T, F>(a, b, c, out);
  _mm_setcsr(before);
  if ((i.aux & 4) != 0) flush(out);
  if ((i.aux & 8) != 0) {
    for (T& x : out) x = x > T{0} ? (x < T{1} ? x : T{1}) : T{0};
  }
  store_lanes(w.row<T>(i.d), out, m);
  return Flow::kNext;
}

template <class F>
Exec pick(const std::string& type) {
  return type == "f32" ? Exec{rounded<float, F>} : type == "f64" ? Exec{rounded<double, F>} : nullptr;
}

}  // namespace

Exec rounded_exec(const std::string& opcode, const std::string& type) {
  if (opcode == "add") return pick<Add>(type);
  if (opcode == "sub") return pick<Sub>(type);
  if (opcode == "mul") return pick<Mul>(type);
  if (opcode == "div") return pick<Div>(type);
  if (opcode == "fma") return pick<Fma>(type);
  if (opcode == "sqrt") return pick<Sqrt>(type);
  if (opcode == "rcp") return pick<Rcp>(type);
  return nullptr;
}

}  // namespace cudasim::ptx
