#include "profiler/query/slice_differences.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>

namespace shardscope {
namespace {

const TimelineTrack* find_track(const Timeline& timeline, int rank, const std::string& lane) {
  for (const TimelineTrack& track : timeline.tracks()) {
    if (track.rank == rank && track.lane == lane) return &track;
  }
  return nullptr;
}

/// A number for each name, the same in both runs; remembered by op.
class Names {
 public:
  explicit Names(std::unordered_map<std::string, int>& known) : known_(known) {}
  int of(const Timeline& timeline, const TimelineTrack& track, std::int32_t op) {
    const auto [found, is_new] = by_op_.try_emplace(op, 0);
    if (!is_new) return found->second;
    const TimelineOp& o = timeline.op(track, op);
    const std::string text = o.kind + '\0' + o.phase + '\0' + o.name + '\0' + std::to_string(o.micro_batch);
    return found->second = known_.try_emplace(text, static_cast<int>(known_.size())).first->second;
  }

 private:
  std::unordered_map<std::string, int>& known_;
  std::unordered_map<std::int32_t, int> by_op_;
};

using BySteps = std::unordered_map<std::int64_t, std::vector<Span>>;

BySteps by_step(const std::vector<Span>& spans) {
  BySteps steps;
  for (const Span& span : spans) steps[span.step].push_back(span);
  return steps;
}

std::int64_t size_of(const SliceDifference& d) { return std::abs(d.delta_ns()); }

}  // namespace

std::vector<SliceDifference> slice_differences(const Timeline& a, const Timeline& b, const RunAlignment& alignment,
                                               int rank, const std::string& lane) {
  std::vector<SliceDifference> differences;
  const TimelineTrack *in_a = find_track(a, rank, lane), *in_b = find_track(b, rank, lane);
  if (in_a == nullptr || in_b == nullptr) return differences;
  std::unordered_map<std::string, int> known;
  Names names_a(known), names_b(known);
  const BySteps steps_a = by_step(a.spans(*in_a, in_a->extent)), steps_b = by_step(b.spans(*in_b, in_b->extent));
  for (const AlignedStep& step : alignment.steps) {
    const auto spans_a = steps_a.find(step.a_step), spans_b = steps_b.find(step.b_step);
    if (spans_a == steps_a.end() || spans_b == steps_b.end()) continue;
    std::unordered_map<int, std::vector<const Span*>> waiting;  // B's, by name, in order
    for (const Span& span : spans_b->second) waiting[names_b.of(b, *in_b, span.op)].push_back(&span);
    std::unordered_map<int, std::size_t> taken;
    for (const Span& span : spans_a->second) {
      const int name = names_a.of(a, *in_a, span.op);
      const auto found = waiting.find(name);
      const std::size_t place = taken[name]++;
      if (found == waiting.end() || place >= found->second.size()) continue;
      const Span& other = *found->second[place];
      differences.push_back({{span.begin_ns, span.end_ns}, {other.begin_ns, other.end_ns}, step.a_step, span.op});
    }
  }
  std::stable_sort(differences.begin(), differences.end(),
                   [](const auto& x, const auto& y) { return x.a.begin_ns < y.a.begin_ns; });
  return differences;
}

std::optional<SliceDifference> next_difference(const std::vector<SliceDifference>& differences, std::int64_t a_ns,
                                               bool forward, std::int64_t least_ns) {
  std::optional<SliceDifference> found;
  for (const SliceDifference& d : differences) {
    if (size_of(d) < least_ns || (forward ? d.a.begin_ns <= a_ns : d.a.begin_ns >= a_ns)) continue;
    found = d;
    if (forward) return found;
  }
  return found;
}

std::int64_t notable_ns(const std::vector<SliceDifference>& differences, const RunAlignment& alignment) {
  constexpr std::size_t kMost = 100;
  constexpr std::int64_t kPartOfStep = 100;
  std::int64_t steps = 0;
  for (const AlignedStep& step : alignment.steps) steps += step.a.length();
  const std::int64_t least =
      std::max<std::int64_t>(1, steps / static_cast<std::int64_t>(alignment.steps.size()) / kPartOfStep);
  if (differences.size() <= kMost) return least;
  std::vector<std::int64_t> sizes;
  for (const SliceDifference& d : differences) sizes.push_back(size_of(d));
  std::nth_element(sizes.begin(), sizes.begin() + kMost, sizes.end(), std::greater<>());
  return std::max(least, sizes[kMost]);
}

}  // namespace shardscope
