#include "profiler/query/align_runs.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/error.h"

namespace shardscope {
namespace {

constexpr std::int64_t kLatest = std::int64_t{1} << 56;  // ns, two years: what a damaged time is not more than

struct StepOfRank {
  int rank = 0;
  TimeWindow time;
};

struct RunSteps {
  std::string name;  ///< "run zero-2 (3) of run.db"
  bool predicted = false;
  std::set<int> ranks;
  std::map<std::int64_t, std::vector<StepOfRank>> steps;
};

std::string name_of(const Profile& profile, std::int64_t run, bool& predicted) {
  Rows rows = profile.rows("SELECT name, predicted FROM run WHERE id = ?", {Value(run)});
  if (!rows.next()) throw Error(ErrorKind::kConfig, profile.path() + ": there is no run " + std::to_string(run));
  predicted = rows.integer(1) != 0;
  return "run " + rows.text(0) + (predicted ? " (predicted)" : "") + " of " + profile.path();
}

RunSteps read_steps(const Profile& profile, std::int64_t run) {
  RunSteps found;
  found.name = name_of(profile, run, found.predicted);
  Rows rows = profile.rows("SELECT rank, step, start_ns, dur_ns FROM step WHERE run = ?", {Value(run)});
  while (rows.next()) {
    const std::int64_t begin = rows.integer(2), length = rows.integer(3);
    if (begin < 0 || length < 0 || begin > kLatest || length > kLatest) continue;
    found.ranks.insert(rows.small(0));
    found.steps[rows.integer(1)].push_back({rows.small(0), {begin, begin + length}});
  }
  if (found.steps.empty())
    throw Error(ErrorKind::kConfig, found.name + " has no finished step, so there is nothing to compare step by step");
  return found;
}

TimeWindow span_of(const std::vector<StepOfRank>& step, const std::vector<int>& ranks) {
  TimeWindow window{kLatest, 0};
  for (const StepOfRank& part : step) {
    if (!std::binary_search(ranks.begin(), ranks.end(), part.rank)) continue;
    window.begin_ns = std::min(window.begin_ns, part.time.begin_ns);
    window.end_ns = std::max(window.end_ns, part.time.end_ns);
  }
  return window;
}

std::string list_of(const char* what, const std::vector<std::int64_t>& numbers) {
  std::string text = what;
  if (numbers.size() > 1) text += "s";
  text += " " + std::to_string(numbers.front());
  if (numbers.size() > 1) text += " to " + std::to_string(numbers.back());
  return text;
}

void note_missing(const char* run, const char* what, const std::vector<std::int64_t>& numbers,
                  std::vector<std::string>& remarks) {
  if (!numbers.empty()) remarks.push_back(std::string(run) + " has no " + list_of(what, numbers));
}

void align_ranks(const RunSteps& a, const RunSteps& b, RunAlignment& alignment) {
  std::vector<std::int64_t> only_a, only_b;
  for (int rank : a.ranks) b.ranks.count(rank) != 0 ? alignment.ranks.push_back(rank) : only_a.push_back(rank);
  for (int rank : b.ranks) {
    if (a.ranks.count(rank) == 0) only_b.push_back(rank);
  }
  note_missing("B", "rank", only_a, alignment.remarks);
  note_missing("A", "rank", only_b, alignment.remarks);
  if (alignment.ranks.empty()) throw Error(ErrorKind::kConfig, a.name + " and " + b.name + " have no rank in common");
}

/// The step of `other` that stands beside `step`; the end if there is none.
auto beside(std::int64_t step, const RunSteps& other) {
  auto found = other.steps.find(step);
  if (found == other.steps.end() && other.predicted && step > other.steps.rbegin()->first)
    found = std::prev(other.steps.end());
  return found;
}

void align_steps(const RunSteps& a, const RunSteps& b, RunAlignment& alignment) {
  std::vector<std::int64_t> only_a, only_b;
  const auto add = [&](const auto& in_a, const auto& in_b) {
    const AlignedStep step{in_a.first, in_b.first, span_of(in_a.second, alignment.ranks),
                           span_of(in_b.second, alignment.ranks)};
    if (step.a.length() >= 0 && step.b.length() >= 0) alignment.steps.push_back(step);
  };
  for (const auto& step : a.steps) {
    const auto other = beside(step.first, b);
    other == b.steps.end() ? only_a.push_back(step.first) : add(step, *other);
  }
  for (const auto& step : b.steps) {
    if (a.steps.count(step.first) == 0) only_b.push_back(step.first);
  }
  note_missing("B", "step", only_a, alignment.remarks);
  note_missing("A", "step", only_b, alignment.remarks);
  if (alignment.steps.empty()) throw Error(ErrorKind::kConfig, a.name + " and " + b.name + " have no step in common");
}

/// Last element whose begin, by `begin`, is not after `ns`; the first if all are.
template <class Begin>
std::size_t at(const RunAlignment& alignment, std::int64_t ns, Begin&& begin) {
  const auto after = std::upper_bound(alignment.steps.begin(), alignment.steps.end(), ns,
                                      [&](std::int64_t t, const AlignedStep& step) { return t < begin(step); });
  return after == alignment.steps.begin() ? 0 : static_cast<std::size_t>(after - alignment.steps.begin()) - 1;
}

}  // namespace

RunAlignment align_runs(const Profile& profile_a, std::int64_t run_a, const Profile& profile_b, std::int64_t run_b) {
  const RunSteps a = read_steps(profile_a, run_a), b = read_steps(profile_b, run_b);
  RunAlignment alignment;
  align_ranks(a, b, alignment);
  align_steps(a, b, alignment);
  std::stable_sort(alignment.steps.begin(), alignment.steps.end(),
                   [](const AlignedStep& x, const AlignedStep& y) { return x.a.begin_ns < y.a.begin_ns; });
  return alignment;
}

std::size_t step_at(const RunAlignment& alignment, std::int64_t a_ns) {
  return at(alignment, a_ns, [](const AlignedStep& step) { return step.a.begin_ns; });
}

std::int64_t b_time(const RunAlignment& alignment, std::int64_t a_ns) {
  const AlignedStep& step = alignment.steps[step_at(alignment, a_ns)];
  return step.b.begin_ns + (a_ns - step.a.begin_ns);
}

std::int64_t a_time(const RunAlignment& alignment, std::int64_t b_ns) {
  const AlignedStep& step = alignment.steps[at(alignment, b_ns, [](const AlignedStep& s) { return s.b.begin_ns; })];
  return step.a.begin_ns + (b_ns - step.b.begin_ns);
}

std::size_t first_counted(const RunAlignment& alignment) { return alignment.steps.size() >= 3 ? 1 : 0; }

}  // namespace shardscope
