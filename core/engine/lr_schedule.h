#pragma once
// Learning rate as a function of the updates applied so far, with DeepSpeed 0.19's formulas: its schedulers start at
// "iteration -1" for the first update and step after each applied update, so update n sees iteration n - 1.
//
//   double rate = learning_rate(job.training.schedule, job.training.optimizer.lr, /*applied=*/0);

#include <cstdint>

#include "core/spec/training_spec.h"

namespace shardscope {

/// The rate of the next update, after `applied` >= 0 updates. `optimizer_lr` is the optimizer's own lr: it is the rate
/// of kConstant, and what kWarmupCosineLR scales; the other kinds have their own bounds.
///
///   WarmupLR        iteration < 0: min; below warmup steps W (at least 2): min + (max - min) * g, where
///                   g = ln(i + 1) / ln(W) for "log", i / W for "linear"; then max.
///   WarmupDecayLR   the same warm-up; then g = max(0, (total - i) / max(1, total - W)).
///   WarmupCosineLR  lr * (min_ratio + (1 - min_ratio) * g); iteration < 0: 0; then from 1 to cos_min_ratio along half
///                   a cosine over total - W iterations, and stays there.
///   OneCycle        cycle_min_lr up to cycle_max_lr over the first half, back over the second, then
///                   cycle_min_lr / (1 + decay_rate * n / decay_steps). Momentum is not cycled.
///
/// Throws Error{kConfig} for a OneCycle whose halves are not positive.
double learning_rate(const ScheduleSpec& schedule, double optimizer_lr, std::int64_t applied);

}  // namespace shardscope
