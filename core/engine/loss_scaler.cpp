#include "core/engine/loss_scaler.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace shardscope {

LossScaler::LossScaler(const PrecisionSpec& spec)
    : spec_(spec), is_dynamic_(spec.kind == Precision::kFp16 && spec.loss_scale == 0) {
  if (spec.kind != Precision::kFp16) return;
  state_.scale = is_dynamic_ ? std::ldexp(1.0, spec.initial_scale_power) : spec.loss_scale;
  state_.hysteresis = spec.hysteresis;
}

void LossScaler::save(std::map<std::string, double>& scalars) const {
  if (spec_.kind != Precision::kFp16) return;
  scalars["loss_scale"] = state_.scale;
  scalars["loss_scale_steps"] = static_cast<double>(state_.steps);
  scalars["loss_scale_last_overflow"] = static_cast<double>(state_.last_overflow);
  scalars["loss_scale_hysteresis"] = state_.hysteresis;
}

void LossScaler::restore(const std::map<std::string, double>& scalars) {
  const auto read = [&](const char* key, auto& value) {
    const auto it = scalars.find(key);
    if (it != scalars.end()) value = static_cast<std::decay_t<decltype(value)>>(it->second);
  };
  if (!is_dynamic_) return;
  read("loss_scale", state_.scale);
  read("loss_scale_steps", state_.steps);
  read("loss_scale_last_overflow", state_.last_overflow);
  read("loss_scale_hysteresis", state_.hysteresis);
}

bool LossScaler::update(bool overflow) {
  const std::int64_t step = state_.steps++;
  if (!is_dynamic_) return true;
  if (overflow) {
    state_.last_overflow = step;
    return lower();
  }
  const bool grows = (step - state_.last_overflow) % spec_.loss_scale_window == 0;
  if (grows || spec_.consecutive_hysteresis) state_.hysteresis = spec_.hysteresis;
  if (grows) state_.scale *= 2;
  return true;
}

bool LossScaler::lower() {
  if (state_.hysteresis > 1) {
    --state_.hysteresis;
    return true;
  }
  if (state_.scale == spec_.min_loss_scale) return false;
  state_.scale = std::max(state_.scale / 2, spec_.min_loss_scale);
  return true;
}

}  // namespace shardscope
