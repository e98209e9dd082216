#pragma once
// The meaning of the model's ops in plain double precision, forward and backward, written to be read. The backward ones
// are themselves checked by finite differences (kernels/conformance/reference_test.cpp).
// Legend: R rows, H hidden, S sequence, n heads, g key/value heads, d head size.

#include "kernels/conformance/case.h"

namespace shardscope::reference {

struct NormForward {
  Doubles out, mean, rstd;
};
struct NormBackward {
  Doubles d_x, d_weight, d_bias;
};
/// `centred`: LayerNorm; else RmsNorm, whose mean and bias stay out. x [R, H]; bias may be empty.
NormForward norm(const Doubles& x, const Doubles& weight, const Doubles& bias, std::size_t hidden, double eps,
                 bool centred);
NormBackward norm_backward(const Doubles& d_out, const Doubles& x, const Doubles& weight, double eps, bool centred);

/// c [m, n] = op(a) op(b), stored as MatMul says.
Doubles matmul(const MatMul& op, const Doubles& a, const Doubles& b);
/// What a cast to fp8 leaves of an operand.
Doubles through_fp8(Fp8 format, Doubles x);

double activation(ActivationKind kind, double x);
double activation_slope(ActivationKind kind, double x);

/// x [R, heads * d], rotated in place.
Doubles rope(const Rope& op, Doubles x);

struct AttentionForward {
  Doubles out, lse;
};
struct AttentionGradients {
  Doubles d_q, d_k, d_v;  ///< zero where the strides leave gaps
};
/// Over the op's keys alone, whether it merges or not.
AttentionForward attention(const Attention& op, const Doubles& q, const Doubles& k, const Doubles& v);
/// Attention over the keys of both; lse [batch, n, S] as in the op.
AttentionForward merged(const Attention& op, const AttentionForward& a, const AttentionForward& b);
/// The share of the op's keys. `forward` is over all keys, these and those of other ops; its out as it was left,
/// rounded or not.
AttentionGradients attention_backward(const Attention& op, const AttentionForward& forward, const Doubles& d_out,
                                      const Doubles& q, const Doubles& k, const Doubles& v);

/// Sum over rows of -log softmax(logits)[target], times scale; and its gradient.
struct Loss {
  double loss = 0;
  Doubles d_logits;
};
Loss cross_entropy(const Doubles& logits, const Doubles& targets, std::size_t vocab, double scale);

/// What Route writes; indices as whole numbers.
struct Routing {
  Doubles probabilities, weights, chosen, counts, slots, source;
};
Routing route(const Route& op, const Doubles& logits);
/// What LoadBalance adds to the loss.
double load_balance(const LoadBalance& op, const Doubles& probabilities, const Doubles& counts);
Doubles route_backward(const RouteBackward& op, const Routing& routing, const Doubles& d_weights);
/// Dispatch and Combine; `weights` may be empty.
Doubles dispatch(const Dispatch& op, const Doubles& x, const Doubles& source, const Doubles& weights);
Doubles combine(const Combine& op, const Doubles& y, const Doubles& slots, const Doubles& weights);

}  // namespace shardscope::reference
