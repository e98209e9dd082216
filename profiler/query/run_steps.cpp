#include "profiler/query/run_steps.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "profiler/query/rank_work.h"

namespace shardscope {
namespace {

constexpr double kAlike = 0.9;         ///< of two stretches: work in common
constexpr double kNoWorse = 0.005;     ///< below the best: as alike
constexpr std::size_t kLeastWork = 8;  ///< in a stretch
constexpr std::size_t kMostTries = 400, kTriesOfACount = 6;

using Positions = std::vector<std::size_t>;

/// How often each op is in a stretch.
class Counts {
 public:
  Counts(const std::vector<QueuedWork>& work, std::size_t from, std::size_t to) : total_(to - from) {
    for (std::size_t i = from; i < to; ++i) ++of_[work[i].op];
  }
  /// Work in common over the larger of the two.
  double alike(const Counts& other) const {
    std::size_t common = 0;
    for (const auto& [op, count] : of_) {
      const auto found = other.of_.find(op);
      if (found != other.of_.end()) common += std::min(count, found->second);
    }
    return static_cast<double>(common) / static_cast<double>(std::max<std::size_t>({total_, other.total_, 1}));
  }
  std::size_t total() const { return total_; }

 private:
  std::unordered_map<std::int32_t, std::size_t> of_;
  std::size_t total_;
};

struct Division {
  Positions begins;  ///< of whole stretches; the last entry is the end of the last one
  double worst = 0;  ///< how alike the least alike neighbours are; 0: no division
};

/// Stretches that begin where the op is.
Division divide(const std::vector<QueuedWork>& work, const Positions& at) {
  Division division{at, 1};
  Counts before(work, at[0], at.size() > 1 ? at[1] : work.size());
  if (before.total() < kLeastWork) return {};
  for (std::size_t i = 1; i < at.size(); ++i) {
    const bool last = i + 1 == at.size();
    Counts own(work, at[i], last ? work.size() : at[i + 1]);
    const double alike = own.alike(before);
    if (last && alike < kAlike) return division;  // cut: it ends where it begins
    const bool warms_up = i == 1 && at.size() > 3;
    if (alike < kAlike && !warms_up) return {};
    if (!warms_up) division.worst = std::min(division.worst, alike);
    before = std::move(own);
  }
  division.begins.push_back(work.size());
  return division;
}

bool is_enough(const Division& division, std::size_t work) {
  return division.worst >= kAlike && division.begins.size() >= 3 &&
         2 * (division.begins.back() - division.begins.front()) >= work;
}

std::int64_t idle_before(const std::vector<QueuedWork>& work, std::size_t i) {
  return i == 0 ? 0 : std::max<std::int64_t>(0, work[i].time.begin_ns - work[i - 1].time.end_ns);
}

/// The same stretches, but from the longest pause of each to that of the next, if it is always before the same op; and
/// then also what comes before the first and after the last, if it is alike.
Positions from_pause_to_pause(const std::vector<QueuedWork>& work, const Positions& begins) {
  Positions pauses;
  for (std::size_t i = 0; i + 1 < begins.size(); ++i) {
    std::size_t longest = begins[i];
    for (std::size_t k = begins[i]; k < begins[i + 1]; ++k)
      if (idle_before(work, k) > idle_before(work, longest)) longest = k;
    if (!pauses.empty() && work[longest].op != work[pauses.front()].op) return begins;
    pauses.push_back(longest);
  }
  if (pauses.size() < 2) return begins;
  const auto alike = [&](std::size_t a, std::size_t b, std::size_t c, std::size_t d) {
    return a < b && Counts(work, a, b).alike(Counts(work, c, d)) >= kAlike;
  };
  const std::size_t first = pauses[0], second = pauses[1], last = pauses.back(), before = pauses[pauses.size() - 2];
  if (alike(last, work.size(), before, last)) pauses.push_back(work.size());
  if (alike(0, first, first, second)) pauses.insert(pauses.begin(), 0);
  return pauses.size() < begins.size() ? begins : pauses;
}

double mean_idle_before(const std::vector<QueuedWork>& work, const Positions& at) {
  double sum = 0;
  for (std::size_t i : at) sum += static_cast<double>(idle_before(work, i));
  return sum / static_cast<double>(at.size());
}

/// Where ops are that occur at least twice: by how often, most often first; of one count those that the queue idles
/// longest before first.
std::map<std::size_t, std::vector<Positions>, std::greater<>> by_count(const std::vector<QueuedWork>& work) {
  std::unordered_map<std::int32_t, Positions> positions;
  for (std::size_t i = 0; i < work.size(); ++i) positions[work[i].op].push_back(i);
  std::map<std::size_t, std::vector<std::pair<double, Positions>>> weighed;
  for (auto& [op, at] : positions) {
    if (at.size() < 2 || work.size() / at.size() < kLeastWork) continue;
    const double idle = mean_idle_before(work, at);
    weighed[at.size()].emplace_back(idle, std::move(at));
  }
  std::map<std::size_t, std::vector<Positions>, std::greater<>> sorted;
  for (auto& [count, ops] : weighed) {
    std::sort(ops.begin(), ops.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second.front() < b.second.front();
    });
    for (auto& [idle, at] : ops)
      if (sorted[count].size() < kTriesOfACount) sorted[count].push_back(std::move(at));
  }
  return sorted;
}

/// What the busiest queue of a rank's device worked on.
std::vector<QueuedWork> busiest_queue(const Profile& profile, std::int64_t run, int rank, TimeWindow& extent) {
  constexpr std::size_t kMostWork = 4'000'000;
  const RankWorkReader reader(profile, run, rank);
  const RankWork work = reader.read({INT64_MIN / 4, INT64_MAX / 4});
  std::vector<std::size_t> slices(work.tracks.size());
  extent = {INT64_MAX, INT64_MIN};
  for (const DeviceSlice& s : work.device) {
    if (s.activity != Activity::kCommunication) ++slices[static_cast<std::size_t>(s.track)];
    extent = {std::min(extent.begin_ns, s.time.begin_ns), std::max(extent.end_ns, s.time.end_ns)};
  }
  std::vector<QueuedWork> queue;
  if (work.device.empty()) return queue;
  const auto busiest = static_cast<int>(std::max_element(slices.begin(), slices.end()) - slices.begin());
  for (const DeviceSlice& s : work.device)
    if (s.track == busiest && queue.size() < kMostWork) queue.push_back({s.op, s.time});
  return queue;
}

void add_recorded(const Profile& profile, std::int64_t run, RunSteps& steps) {
  Rows rows =
      profile.rows("SELECT rank, step, start_ns, dur_ns FROM step WHERE run = ? ORDER BY rank, step", {Value(run)});
  while (rows.next()) {
    constexpr std::int64_t kFar = INT64_MAX / 16;  // of a hostile file: sums of times must not overflow
    const std::int64_t begin = rows.integer(2);
    if (begin < -kFar || begin > kFar || rows.integer(3) > kFar) continue;
    if (rows.integer(3) > 0) steps.steps.push_back({rows.small(0), rows.integer(1), {begin, begin + rows.integer(3)}});
  }
}

}  // namespace

std::vector<TimeWindow> find_repeats(const std::vector<QueuedWork>& work) {
  Division best;
  std::size_t tries = 0;
  std::vector<Division> found;  // most stretches first
  for (const auto& [count, ops] : by_count(work)) {
    for (const Positions& at : ops) {
      if (++tries > kMostTries) break;
      Division division = divide(work, at);
      if (!is_enough(division, work.size())) continue;
      found.push_back(std::move(division));
      break;
    }
  }
  double most = 0;
  for (const Division& division : found) most = std::max(most, division.worst);
  for (Division& division : found) {
    if (division.worst < most - kNoWorse) continue;
    best = std::move(division);
    break;
  }
  if (!best.begins.empty()) best.begins = from_pause_to_pause(work, best.begins);
  std::vector<TimeWindow> stretches;
  for (std::size_t i = 0; i + 1 < best.begins.size(); ++i) {
    const std::size_t next = best.begins[i + 1];
    const std::int64_t end = next < work.size() ? work[next].time.begin_ns : work.back().time.end_ns;
    stretches.push_back({work[best.begins[i]].time.begin_ns, end});
  }
  return stretches;
}

RunSteps run_steps(const Profile& profile, std::int64_t run) {
  RunSteps steps;
  add_recorded(profile, run, steps);
  if (!steps.steps.empty()) return steps;
  std::vector<int> ranks;
  for (Rows rows = profile.rows("SELECT rank FROM rank WHERE run = ? ORDER BY rank", {Value(run)}); rows.next();)
    ranks.push_back(rows.small(0));
  std::vector<RunStep> whole;
  for (int rank : ranks) {
    TimeWindow extent;
    const std::vector<QueuedWork> queue = busiest_queue(profile, run, rank, extent);
    if (!queue.empty()) whole.push_back({rank, 0, extent});
    std::int64_t number = 0;
    for (const TimeWindow& time : find_repeats(queue)) steps.steps.push_back({rank, number++, time});
  }
  if (!steps.steps.empty()) {
    steps.source = StepSource::kRepeats;
    steps.remark = "The file marks no steps; these are where the work of the device repeats itself.";
    return steps;
  }
  steps.steps = std::move(whole);
  steps.source = StepSource::kWhole;
  if (steps.steps.empty()) steps.remark = "Nothing that a device did was recorded.";
  if (steps.steps.empty()) return steps;
  steps.remark =
      "The file marks no steps, and the work of the device does not repeat itself: the whole recording is "
      "taken as one.";
  return steps;
}

std::vector<RunStep> counted_steps(const RunSteps& steps) {
  std::map<int, std::size_t> count;
  for (const RunStep& step : steps.steps) ++count[step.rank];
  std::vector<RunStep> counted;
  const RunStep* before = nullptr;
  for (const RunStep& step : steps.steps) {
    const bool first = before == nullptr || before->rank != step.rank;
    before = &step;
    if (!first || count[step.rank] < 3) counted.push_back(step);
  }
  return counted;
}

}  // namespace shardscope
