#include "kernels/cpu/loops/loops.h"
#include "kernels/cpu/loops/vector_math.h"

namespace shardscope::SS_ISA {
namespace {

/// f(x) and f'(x) of each kind. gelu_tanh: x/2 (1 + tanh u) = x * logistic(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
struct GeluTanh {
  static constexpr float kTwiceRoot = 1.59576912f, kCube = 0.044715f;  // 2 sqrt(2 / pi)
  static SS_INLINE F value(F x) { return x * logistic(x * (x * x * kCube + 1.0f) * kTwiceRoot); }
  static SS_INLINE F slope(F x) {
    const F s = logistic(x * (x * x * kCube + 1.0f) * kTwiceRoot);
    return s + x * s * (1.0f - s) * ((x * x * (3 * kCube) + 1.0f) * kTwiceRoot);
  }
};
struct GeluErf {
  static SS_INLINE F value(F x) { return x * normal(x).value; }
  static SS_INLINE F slope(F x) {
    const Normal p = normal(x);
    return p.value + x * p.density;
  }
};
struct Relu {
  static SS_INLINE F value(F x) { return x < 0.0f ? splat(0) : x; }  // NaN stays NaN
  static SS_INLINE F slope(F x) { return x > 0.0f ? splat(1) : splat(0); }
};
struct Silu {
  static SS_INLINE F value(F x) { return x * logistic(x); }
  static SS_INLINE F slope(F x) {
    const F s = logistic(x);
    return s * (x * (1.0f - s) + 1.0f);
  }
};

template <class Kind>
void forward(const float* x, float* out, std::int64_t n) {
  for_each_vector(n, [&](auto c) { store(out, c, Kind::value(load(x, c))); });
}
template <class Kind>
void backward(const float* x, const float* d_out, float* d_x, std::int64_t n) {
  for_each_vector(n, [&](auto c) { store(d_x, c, load(d_out, c) * Kind::slope(load(x, c))); });
}

void swiglu(const float* gate, const float* up, float* out, std::int64_t n) {
  for_each_vector(n, [&](auto c) { store(out, c, Silu::value(load(gate, c)) * load(up, c)); });
}
void swiglu_backward(const float* gate, const float* up, const float* d_out, float* d_gate, float* d_up,
                     std::int64_t n) {
  for_each_vector(n, [&](auto c) {
    const F g = load(gate, c), u = load(up, c), d = load(d_out, c);
    const F s = logistic(g);
    store(d_gate, c, d * u * (s * (g * (1.0f - s) + 1.0f)));
    store(d_up, c, d * (g * s));
  });
}

void rotate(float* head, const float* cos, const float* sin, float sign, std::int64_t half) {
  float* other = head + half;
  for_each_vector(half, [&](auto c) {
    const F a = load(head, c), b = load(other, c), cosine = load(cos, c), sine = load(sin, c) * sign;
    store(head, c, a * cosine - b * sine);
    store(other, c, b * cosine + a * sine);
  });
}

}  // namespace

extern const ActivationLoops activation_loops;
const ActivationLoops activation_loops = {
    {forward<GeluTanh>, forward<GeluErf>, forward<Relu>, forward<Silu>},
    {backward<GeluTanh>, backward<GeluErf>, backward<Relu>, backward<Silu>},
    swiglu,
    swiglu_backward,
    rotate,
};

}  // namespace shardscope::SS_ISA
