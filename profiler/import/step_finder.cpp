#include "profiler/import/step_finder.h"

#include <algorithm>
#include <limits>
#include <map>

namespace shardscope {
namespace {

constexpr auto kByStart = [](const StoredStep& a, const StoredStep& b) { return a.start_ns < b.start_ns; };

std::vector<StoredStep> chosen(const std::vector<StoredStep>& steps) {
  int priority = std::numeric_limits<int>::min();
  for (const StoredStep& step : steps) priority = std::max(priority, step.priority);
  std::map<std::int64_t, StoredStep> longest;
  for (const StoredStep& step : steps) {
    if (step.priority != priority) continue;
    const auto [known, is_new] = longest.try_emplace(step.number, step);
    if (!is_new && step.duration_ns > known->second.duration_ns) known->second = step;
  }
  std::vector<StoredStep> kept;
  for (const auto& [number, step] : longest) kept.push_back(step);
  std::stable_sort(kept.begin(), kept.end(), kByStart);
  for (std::size_t i = 0; i + 1 < kept.size(); ++i)
    kept[i].duration_ns = std::min(kept[i].duration_ns, kept[i + 1].start_ns - kept[i].start_ns);
  return kept;
}

/// Index of the step under way, or -1.
std::ptrdiff_t at(const std::vector<StoredStep>& steps, std::int64_t time_ns) {
  const auto after = std::upper_bound(steps.begin(), steps.end(), time_ns,
                                      [](std::int64_t time, const StoredStep& s) { return time < s.start_ns; });
  if (after == steps.begin()) return -1;
  const StoredStep& step = *(after - 1);
  return time_ns < step.start_ns + step.duration_ns ? after - 1 - steps.begin() : -1;
}

std::int32_t number_at(const std::vector<StoredStep>& steps, std::int64_t time_ns) {
  const std::ptrdiff_t index = at(steps, time_ns);
  return index < 0 ? -1 : static_cast<std::int32_t>(steps[static_cast<std::size_t>(index)].number);
}

}  // namespace

StepFinder::StepFinder(const std::vector<StoredStep>& steps, const std::vector<StoredStep>& device_steps)
    : steps_(chosen(steps)), device_steps_(chosen(device_steps)) {
  for (const StoredStep& step : steps_)
    launched_.push_back({std::numeric_limits<std::int64_t>::max(), 0, static_cast<std::int32_t>(step.number)});
}

std::int32_t StepFinder::of_host(const SliceEvent& slice) {
  const std::ptrdiff_t index = at(steps_, slice.start_ns);
  if (index < 0) return -1;
  Launches& launched = launched_[static_cast<std::size_t>(index)];
  if (slice.correlation > 0) {
    launched.first = std::min(launched.first, slice.correlation);
    launched.last = std::max(launched.last, slice.correlation);
  }
  return launched.step;
}

void StepFinder::finish_host() {
  std::erase_if(launched_, [](const Launches& l) { return l.last == 0; });
  std::sort(launched_.begin(), launched_.end(), [](const Launches& a, const Launches& b) { return a.first < b.first; });
}

std::int32_t StepFinder::of_device(const SliceEvent& slice) const {
  if (slice.correlation > 0 && !launched_.empty()) {
    const auto after = std::upper_bound(launched_.begin(), launched_.end(), slice.correlation,
                                        [](std::int64_t c, const Launches& l) { return c < l.first; });
    if (after == launched_.begin()) return -1;
    return slice.correlation <= (after - 1)->last ? (after - 1)->step : -1;
  }
  return number_at(device_steps_.empty() ? steps_ : device_steps_, slice.start_ns);
}

}  // namespace shardscope
