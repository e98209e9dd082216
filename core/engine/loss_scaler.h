#pragma once
// The factor by which the gradient of the loss is multiplied, so that small fp16 gradients do not become zero. Rules
// and names are those of DeepSpeed 0.19 (runtime/fp16/loss_scaler.py, DynamicLossScaler); outside fp16 the factor is 1.
//
//   LossScaler scaler(job.training.precision);
//   run_step({..., .loss_scale = scaler.scale()});
//   if (!scaler.update(overflowed)) ...   // nothing left to try

#include <cstdint>
#include <map>
#include <string>

#include "core/spec/training_spec.h"

namespace shardscope {

struct LossScalerState {
  double scale = 1;
  std::int64_t steps = 0;           ///< finished, applied or not
  std::int64_t last_overflow = -1;  ///< the step, or -1
  int hysteresis = 1;               ///< overflows left before the scale is halved, that one included
  friend bool operator==(const LossScalerState&, const LossScalerState&) = default;
};

class LossScaler {
 public:
  explicit LossScaler(const PrecisionSpec& spec);

  double scale() const { return state_.scale; }
  const LossScalerState& state() const { return state_; }
  /// To and from the scalars of a checkpoint. Where they are not there (a run without fp16), nothing changes.
  void save(std::map<std::string, double>& scalars) const;
  void restore(const std::map<std::string, double>& scalars);

  /// After each step: whether a gradient overflowed, so that the step was not applied. A dynamic scale is halved when
  /// the hysteresis is used up, and doubled after every `loss_scale_window` steps since the last overflow. False: it
  /// would have to be halved and is at its minimum, where DeepSpeed stops too. A static scale never changes.
  bool update(bool overflow);

 private:
  bool lower();

  PrecisionSpec spec_;
  bool is_dynamic_;
  LossScalerState state_;
};

}  // namespace shardscope
