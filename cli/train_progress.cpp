#include "cli/train_progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "core/engine/arena.h"

namespace shardscope::cli {

TrainProgress::TrainProgress(std::int64_t steps) : steps_(steps), rewrites_(::isatty(STDERR_FILENO) == 1) {}

void TrainProgress::show(const StepReport& r) {
  const auto now = std::chrono::steady_clock::now();
  const bool last_step = r.step + 1 == steps_;
  const auto between = std::chrono::milliseconds(rewrites_ ? 50 : 1000);
  if (shown_ && !last_step && now - last_ < between) return;
  last_ = now;
  shown_ = true;
  const std::string norm = std::isnan(r.grad_norm) ? "" : fmt::format("  norm {:.3f}", r.grad_norm);
  const std::string skipped =
      r.is_applied ? "" : fmt::format("  skipped: gradients overflow at loss scale {:.0f}", r.loss_scale);
  const std::string line = fmt::format("step {}/{}  loss {:.4f}{}{}  lr {:.3g}  {:.0f} tok/s  {:.3f} s  {} per rank",
                                       r.step + 1, steps_, r.loss, norm, skipped, r.learning_rate, r.tokens_per_s,
                                       r.step_time_s, format_bytes(r.device_peak_bytes));
  fmt::print(stderr, "{}{}{}", rewrites_ ? "\r\x1b[K" : "", line, rewrites_ ? "" : "\n");
  std::fflush(stderr);
}

void TrainProgress::end() {
  if (rewrites_ && shown_) fmt::print(stderr, "\n");
}

}  // namespace shardscope::cli
