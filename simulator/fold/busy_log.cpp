#include "simulator/fold/busy_log.h"

#include <algorithm>

namespace shardscope {

namespace {

std::int64_t length(const std::vector<Interval>& list) {
  std::int64_t sum = 0;
  for (const Interval& i : list) sum += i.end - i.begin;
  return sum;
}

// Joins what overlaps or touches; `list` is in order of begin.
void join_overlaps(std::vector<Interval>& list) {
  std::size_t kept = 0;
  for (std::size_t i = 1; i < list.size(); ++i) {
    if (list[i].begin <= list[kept].end) {
      list[kept].end = std::max(list[kept].end, list[i].end);
    } else {
      list[++kept] = list[i];
    }
  }
  if (!list.empty()) list.resize(kept + 1);
}

// Adds what lies in [from, to) to an ordered list.
void merge_clipped(std::vector<Interval>& into, const std::vector<Interval>& list, std::int64_t from, std::int64_t to) {
  const auto middle = static_cast<std::ptrdiff_t>(into.size());
  const auto first = std::partition_point(list.begin(), list.end(), [&](const Interval& i) { return i.end <= from; });
  for (auto it = first; it != list.end() && it->begin < to; ++it) {
    into.push_back({std::max(it->begin, from), std::min(it->end, to)});
  }
  std::inplace_merge(into.begin(), into.begin() + middle, into.end(),
                     [](const Interval& a, const Interval& b) { return a.begin < b.begin; });
}

}  // namespace

void LaneLog::add(TimeClass c, std::int64_t begin, std::int64_t end) {
  if (begin == end) return;
  auto& list = busy[static_cast<std::size_t>(c)];
  if (!list.empty() && list.back().end == begin) {
    list.back().end = end;
  } else {
    list.push_back({begin, end});
  }
}

void add_busy(RankTimes& times, const std::vector<const RankLog*>& logs, std::int64_t from, std::int64_t to) {
  std::vector<Interval> covered;
  std::int64_t before = 0;
  for (std::size_t c = 0; c < kTimeClasses; ++c) {
    for (const RankLog* log : logs) {
      for (const LaneLog& lane : *log) {
        if (!lane.busy[c].empty()) merge_clipped(covered, lane.busy[c], from, to);
      }
    }
    join_overlaps(covered);
    const std::int64_t now = length(covered);
    times.busy_ns[c] += now - before;
    before = now;
  }
}

}  // namespace shardscope
