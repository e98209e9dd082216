#include "core/engine/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/check.h"
#include "core/error.h"

namespace shardscope {
namespace {

std::int64_t warmup_steps(const ScheduleSpec& s) { return std::max<std::int64_t>(2, s.warmup_num_steps); }

/// Share of the warm-up done at `iteration`, 0 to 1; only for iterations inside it.
double warmup_share(const ScheduleSpec& s, std::int64_t iteration) {
  const auto steps = static_cast<double>(warmup_steps(s));
  const auto i = static_cast<double>(iteration);
  return s.warmup_log ? std::log(i + 1) / std::log(steps) : i / steps;
}

double linear_decay(const ScheduleSpec& s, std::int64_t iteration) {
  const auto left = static_cast<double>(s.total_num_steps - iteration);
  const auto whole = static_cast<double>(s.total_num_steps - warmup_steps(s));
  return std::max(0.0, left / std::max(1.0, whole));
}

double warmup_lr(const ScheduleSpec& s, std::int64_t iteration) {
  if (iteration < 0) return s.warmup_min_lr;
  double share = 1;
  if (iteration < warmup_steps(s)) {
    share = warmup_share(s, iteration);
  } else if (s.kind == ScheduleKind::kWarmupDecayLR) {
    share = linear_decay(s, iteration);
  }
  return s.warmup_min_lr + (s.warmup_max_lr - s.warmup_min_lr) * share;
}

double cosine_ratio(const ScheduleSpec& s, std::int64_t iteration) {
  if (iteration < 0) return 0;
  const std::int64_t warmup = warmup_steps(s);
  if (iteration < warmup) return s.warmup_min_ratio + (1 - s.warmup_min_ratio) * warmup_share(s, iteration);
  const auto done = static_cast<double>(iteration - warmup + 1);
  const auto whole = static_cast<double>(std::max<std::int64_t>(1, s.total_num_steps - warmup));
  const double cosine = (1 + std::cos(std::numbers::pi * std::min(1.0, done / whole))) / 2;
  return std::max(0.0, s.cos_min_ratio + (1 - s.cos_min_ratio) * cosine);
}

double one_cycle_lr(const ScheduleSpec& s, std::int64_t applied) {
  const auto first = static_cast<double>(s.cycle_first_step_size);
  const double second = s.cycle_second_step_size < 0 ? first : static_cast<double>(s.cycle_second_step_size);
  if (first <= 0) {
    throw Error(ErrorKind::kConfig, "scheduler.params.cycle_first_step_size: must be positive, as DeepSpeed asks");
  }
  const double total = first + second;
  if (applied == 0) return s.cycle_min_lr;
  if (static_cast<double>(applied) <= total) {
    const double x = std::fmod(static_cast<double>(applied), total);  // the last iteration is back at the minimum
    const double height = x <= first ? x / first : (total - x) / second;
    return s.cycle_min_lr + (s.cycle_max_lr - s.cycle_min_lr) * height;
  }
  if (s.decay_step_size == 0) return s.cycle_min_lr;
  const double periods = (static_cast<double>(applied) - total) / static_cast<double>(s.decay_step_size);
  return s.cycle_min_lr / (1 + s.decay_lr_rate * periods);
}

}  // namespace

double learning_rate(const ScheduleSpec& schedule, double optimizer_lr, std::int64_t applied) {
  SS_CHECK(applied >= 0, applied);
  switch (schedule.kind) {
    case ScheduleKind::kConstant:
      return optimizer_lr;
    case ScheduleKind::kWarmupLR:
    case ScheduleKind::kWarmupDecayLR:
      return warmup_lr(schedule, applied - 1);
    case ScheduleKind::kWarmupCosineLR:
      return optimizer_lr * cosine_ratio(schedule, applied - 1);
    case ScheduleKind::kOneCycle:
      return one_cycle_lr(schedule, applied);
  }
  return optimizer_lr;
}

}  // namespace shardscope
