#include "profiler/store/step_parts.h"

#include <algorithm>

namespace shardscope {

Activity activity_of(const Instruction& instruction) {
  const Op& op = instruction.op;
  if (std::holds_alternative<Alloc>(op) || std::holds_alternative<Free>(op) || std::holds_alternative<Hold>(op)) {
    return Activity::kNone;
  }
  if (is_communication(op)) return Activity::kCommunication;
  if (instruction.lane != Lane::kCompute) return Activity::kOffload;
  if (instruction.label.phase == Phase::kOptimizer) return Activity::kOptimizer;
  return instruction.label.phase == Phase::kLoad ? Activity::kLoad : Activity::kCompute;
}

StepSweep::StepSweep(const std::vector<ActiveSlice>& slices, std::int64_t start_ns, std::int64_t end_ns)
    : slices_(slices), from_(start_ns), to_(start_ns), end_(end_ns) {
  edges_.reserve(2 * slices.size());
  for (std::uint32_t i = 0; i < slices.size(); ++i) {
    const std::int64_t begin = std::max(slices[i].start_ns, start_ns), end = std::min(slices[i].end_ns, end_ns);
    if (begin >= end || slices[i].activity == Activity::kNone) continue;
    edges_.push_back({begin, i, true});
    edges_.push_back({end, i, false});
  }
  std::sort(edges_.begin(), edges_.end(), [](const Edge& a, const Edge& b) { return a.time_ns < b.time_ns; });
}

bool StepSweep::next() {
  from_ = to_;
  while (from_ < end_) {
    for (; at_ < edges_.size() && edges_[at_].time_ns <= from_; ++at_) apply(edges_[at_]);
    to_ = at_ < edges_.size() ? edges_[at_].time_ns : end_;
    if (to_ > from_) return true;
  }
  return false;
}

Activity StepSweep::claim() const {
  for (int i = 0; i < kActivities; ++i) {
    if (active_[static_cast<std::size_t>(i)] > 0) return static_cast<Activity>(i);
  }
  return Activity::kNone;
}

void StepSweep::apply(const Edge& edge) {
  const Activity activity = slices_[edge.slice].activity;
  active_[static_cast<std::size_t>(activity)] += edge.begin ? 1 : -1;
  if (activity != Activity::kCommunication) return;
  if (edge.begin) {
    communicating_.push_back(edge.slice);
  } else {
    communicating_.erase(std::find(communicating_.begin(), communicating_.end(), edge.slice));
  }
}

}  // namespace shardscope
