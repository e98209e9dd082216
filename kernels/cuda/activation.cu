// Activations and their gradients. Bytes per element are those of the operands (bf16: Activation 4, ActivationBackward
// 6, SwiGlu 6, SwiGluBackward 10), so there is time for some 30 instructions an element on an H100: the exponential and
// the reciprocal are the hardware's, whose errors (2 ulp and more for large arguments, where the function is flat) stay
// below those of fp32 sums.
#include "core/check.h"
#include "kernels/cuda/map.cuh"

namespace shardscope::cuda {
namespace {

/// 1 / (1 + e^-x); 0 where e^-x overflows.
__device__ float logistic(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }

/// f(x) and f'(x) of each kind. gelu_tanh: x/2 (1 + tanh u) = x * logistic(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
struct GeluTanh {
  static constexpr float kTwiceRoot = 1.59576912f, kCube = 0.044715f;  // 2 sqrt(2 / pi)
  static __device__ float value(float x) { return x * logistic(x * (x * x * kCube + 1.0f) * kTwiceRoot); }
  static __device__ float slope(float x) {
    const float s = logistic(x * (x * x * kCube + 1.0f) * kTwiceRoot);
    return s + x * s * (1.0f - s) * ((x * x * (3 * kCube) + 1.0f) * kTwiceRoot);
  }
};
struct GeluErf {
  static __device__ float normal(float x) { return 0.5f + 0.5f * erff(x * 0.707106781f); }
  static __device__ float value(float x) { return x * normal(x); }
  static __device__ float slope(float x) { return normal(x) + x * 0.398942280f * __expf(x * x * -0.5f); }
};
struct Relu {
  static __device__ float value(float x) { return x < 0.0f ? 0.0f : x; }  // NaN stays NaN
  static __device__ float slope(float x) { return x > 0.0f ? 1.0f : 0.0f; }
};
struct Silu {
  static __device__ float value(float x) { return x * logistic(x); }
  static __device__ float slope(float x) {
    const float s = logistic(x);
    return s * (x * (1.0f - s) + 1.0f);
  }
};

template <class Kind>
struct Forward {
  static constexpr int kIn = 1, kOut = 1;
  __device__ void operator()(const float* x, float* out) const { out[0] = Kind::value(x[0]); }
};
template <class Kind>
struct Backward {
  static constexpr int kIn = 2, kOut = 1;
  __device__ void operator()(const float* in, float* d_x) const { d_x[0] = in[1] * Kind::slope(in[0]); }
};
struct SwiGluForward {
  static constexpr int kIn = 2, kOut = 1;
  __device__ void operator()(const float* in, float* out) const { out[0] = Silu::value(in[0]) * in[1]; }
};
struct SwiGluGradients {
  static constexpr int kIn = 3, kOut = 2;
  __device__ void operator()(const float* in, float* out) const {
    const float gate = in[0], up = in[1], d = in[2], s = logistic(gate);
    out[0] = d * up * (s * (gate * (1.0f - s) + 1.0f));
    out[1] = d * (gate * s);
  }
};

/// f with the type that stands for the kind.
template <class F>
void for_kind(ActivationKind kind, F&& f) {
  switch (kind) {
    case ActivationKind::kGeluTanh:
      return f(GeluTanh{});
    case ActivationKind::kGeluErf:
      return f(GeluErf{});
    case ActivationKind::kRelu:
      return f(Relu{});
    case ActivationKind::kSilu:
      return f(Silu{});
  }
}

}  // namespace

void run(const Activation& op, Kernel& kernel) {
  SS_CHECK(op.x.count == op.out.count, op.x.count, op.out.count);
  for_kind(op.kind, [&](auto kind) {
    map(kernel, "activation", Forward<decltype(kind)>{}, op.x.count, {op.x, op.out});
  });
}

void run(const ActivationBackward& op, Kernel& kernel) {
  SS_CHECK(op.x.count == op.d_x.count && op.d_out.count == op.d_x.count, op.x.count, op.d_out.count, op.d_x.count);
  for_kind(op.kind, [&](auto kind) {
    map(kernel, "activation_backward", Backward<decltype(kind)>{}, op.x.count, {op.x, op.d_out, op.d_x});
  });
}

void run(const SwiGlu& op, Kernel& kernel) {
  SS_CHECK(op.gate.count == op.out.count && op.up.count == op.out.count, op.gate.count, op.up.count, op.out.count);
  map(kernel, "swiglu", SwiGluForward{}, op.out.count, {op.gate, op.up, op.out});
}

void run(const SwiGluBackward& op, Kernel& kernel) {
  map(kernel, "swiglu_backward", SwiGluGradients{}, op.d_out.count, {op.gate, op.up, op.d_out, op.d_gate, op.d_up});
}

}  // namespace shardscope::cuda
