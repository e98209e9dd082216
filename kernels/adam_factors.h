#pragma once
// What Adam multiplies by, the same for every element of a step: worked out in double, once, for all backends.
//
//   const AdamFactors factors = adam_factors(op, kernel.scalars, coefficient);

#include <cmath>

#include "core/engine/backend.h"
#include "kernels/cpu/loops/loops.h"

namespace shardscope {

/// `coefficient`: of the gradient, where the host knows it.
inline AdamFactors adam_factors(const Adam& op, const StepScalars& scalars, float coefficient) {
  const auto t = static_cast<double>(scalars.applied_steps);
  const double correction1 = op.bias_correction ? 1 - std::pow(op.beta1, t) : 1;
  const double correction2 = op.bias_correction ? 1 - std::pow(op.beta2, t) : 1;
  AdamFactors f{};
  f.coefficient = coefficient;
  f.l2 = op.decoupled ? 0.0f : static_cast<float>(op.weight_decay);
  f.keep = op.decoupled ? static_cast<float>(1 - scalars.learning_rate * op.weight_decay) : 1.0f;
  f.beta1 = static_cast<float>(op.beta1), f.rest1 = static_cast<float>(1 - op.beta1);
  f.beta2 = static_cast<float>(op.beta2), f.rest2 = static_cast<float>(1 - op.beta2);
  f.step_size = static_cast<float>(scalars.learning_rate / correction1);
  f.root_correction = static_cast<float>(1 / std::sqrt(correction2));
  f.eps = static_cast<float>(op.eps);
  return f;
}

}  // namespace shardscope
