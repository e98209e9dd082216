#include "profiler/capture/slow_steps.h"

#include <algorithm>

namespace shardscope::capture {

void SlowSteps::add(std::int64_t start_ns, std::int64_t end_ns) {
  if (end_ns < start_ns || end_ns < decided_ns_) return;
  const std::int64_t duration = end_ns - start_ns;
  ++steps_;
  if (durations_.size() >= kUsual) {
    std::vector<std::int64_t> sorted(durations_.begin(), durations_.end());
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
    std::nth_element(sorted.begin(), middle, sorted.end());
    if (static_cast<double>(duration) > factor_ * static_cast<double>(*middle)) {
      slow_.push_back({decided_ns_, end_ns});  // with what led to it
      ++kept_;
    }
  }
  durations_.push_back(duration);
  if (durations_.size() > kLooksBack) durations_.pop_front();
  decided_ns_ = end_ns;
}

Fate SlowSteps::fate(std::int64_t time_ns) const {
  if (time_ns > decided_ns_) return Fate::kWait;
  const auto after = std::upper_bound(slow_.begin(), slow_.end(), time_ns,
                                      [](std::int64_t time, const Span& span) { return time < span.start_ns; });
  return after != slow_.begin() && time_ns <= (after - 1)->end_ns ? Fate::kKeep : Fate::kDrop;
}

}  // namespace shardscope::capture
