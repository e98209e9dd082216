#include "simulator/fold/longest_path.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <map>
#include <tuple>

#include "core/check.h"
#include "core/error.h"

namespace shardscope {

namespace {

struct Interval {
  std::int64_t begin, end;
};

// What a lane was busy with: intervals of each class, in order and apart.
struct LaneLog {
  std::array<std::vector<Interval>, kTimeClasses> busy;

  void add(TimeClass c, std::int64_t begin, std::int64_t end) {
    if (begin == end) return;
    auto& list = busy[static_cast<std::size_t>(c)];
    if (!list.empty() && list.back().end == begin) {
      list.back().end = end;
    } else {
      list.push_back({begin, end});
    }
  }
};
using RankLog = std::array<LaneLog, kLanes>;

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

// Busy time of [from, to) by class: an instant belongs to the first class that any lane is busy with.
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

constexpr std::int64_t kUnknown = -1;

struct LaneRun {
  std::size_t segment = 0;
  std::int32_t op = 0;
  std::int64_t end_ns = 0;
  bool meets = false;  // stands in a meeting whose others have not come
  bool done = false;
};

struct RankRun {
  const FoldedRank* plan = nullptr;
  const RankRun* parent = nullptr;
  std::vector<std::size_t> base;  // by own segment: its first end
  std::vector<std::int64_t> ends;
  std::array<LaneRun, kLanes> lanes;
  std::vector<int> lines;  // by slot, -1: not looked up yet
  RankLog log;
  std::int64_t earliest_ns = std::numeric_limits<std::int64_t>::max();  // start of what it ran itself
  std::int64_t instructions = 0;
  bool queued = false;

  std::int64_t end_of(std::size_t segment, std::int32_t op) const {
    if (segment < plan->own) return parent->end_of(segment, op);
    return ends[base[segment - plan->own] + static_cast<std::size_t>(op)];
  }
};

struct Arrival {
  int rank;
  std::size_t lane;
  std::int64_t at_ns;
};
struct Line {
  int members = 0;
  std::int64_t duration_ns = 0;
  std::vector<Arrival> arrived;
};

class LevelRun {
 public:
  LevelRun(const SegmentStore& store, const FoldedLevel& level, std::vector<RankRun>* parents, std::int64_t start_ns)
      : store_(store), level_(level) {
    ranks_.resize(level.ranks.size());
    for (std::size_t r = 0; r < ranks_.size(); ++r) prepare(ranks_[r], level.ranks[r], parents, start_ns);
  }

  std::vector<RankRun> run() {
    for (std::size_t r = 0; r < ranks_.size(); ++r) push(static_cast<int>(r));
    while (!queue_.empty()) {
      const int r = queue_.front();
      queue_.pop_front();
      ranks_[static_cast<std::size_t>(r)].queued = false;
      advance(r);
    }
    for (std::size_t r = 0; r < ranks_.size(); ++r) check_ended(r);
    return std::move(ranks_);
  }

 private:
  void prepare(RankRun& rank, const FoldedRank& plan, std::vector<RankRun>* parents, std::int64_t start_ns) {
    rank.plan = &plan;
    if (plan.parent >= 0) rank.parent = &(*parents)[static_cast<std::size_t>(plan.parent)];
    std::size_t size = 0;
    for (std::size_t s = plan.own; s < plan.segments.size(); ++s) {
      rank.base.push_back(size);
      size += store_[plan.segments[s]].ops.size();
    }
    for (int s : plan.segments) rank.instructions += store_[s].instructions;
    rank.ends.assign(size, kUnknown);
    rank.lines.assign(store_.slots().size(), -1);
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      LaneRun& run = rank.lanes[lane];
      run.segment = plan.own;
      run.end_ns = rank.parent != nullptr ? rank.parent->lanes[lane].end_ns : start_ns;
      enter(plan, run, lane);
    }
  }

  // Goes to the lane's next op, from the beginning of `run.segment` on.
  void enter(const FoldedRank& plan, LaneRun& run, std::size_t lane) const {
    for (; run.segment < plan.segments.size(); ++run.segment) {
      const Segment& segment = store_[plan.segments[run.segment]];
      run.op = segment.lane_begin[lane];
      if (run.op < segment.lane_begin[lane + 1]) return;
    }
    run.done = true;
  }

  void push(int r) {
    RankRun& rank = ranks_[static_cast<std::size_t>(r)];
    if (rank.queued) return;
    rank.queued = true;
    queue_.push_back(r);
  }

  void advance(int r) {
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t lane = 0; lane < kLanes; ++lane) moved = advance_lane(r, lane) || moved;
    }
  }

  bool advance_lane(int r, std::size_t lane) {
    RankRun& rank = ranks_[static_cast<std::size_t>(r)];
    LaneRun& run = rank.lanes[lane];
    bool moved = false;
    while (!run.done && !run.meets) {
      const Segment& segment = store_[rank.plan->segments[run.segment]];
      const FoldOp& op = segment.ops[static_cast<std::size_t>(run.op)];
      std::int64_t start = run.end_ns;
      for (std::int32_t w = op.first_wait; w < op.end_wait; ++w) {
        const FoldWait& wait = segment.waits[static_cast<std::size_t>(w)];
        const std::size_t at = wait.back < 0 ? 0 : run.segment - static_cast<std::size_t>(wait.back);
        const std::int64_t end = rank.end_of(at, wait.op);
        if (end == kUnknown) return moved;
        start = std::max(start, end);
      }
      moved = true;
      if (op.kind == FlatKind::kMeeting) {
        meet(r, lane, op, start);
      } else {
        rank.log[lane].add(op.time_class, start, start + op.duration_ns);
        end_op(rank, lane, start, start + op.duration_ns);
      }
    }
    return moved;
  }

  void end_op(RankRun& rank, std::size_t lane, std::int64_t start_ns, std::int64_t end_ns) {
    LaneRun& run = rank.lanes[lane];
    rank.earliest_ns = std::min(rank.earliest_ns, start_ns);
    rank.ends[rank.base[run.segment - rank.plan->own] + static_cast<std::size_t>(run.op)] = end_ns;
    run.end_ns = end_ns;
    const Segment& segment = store_[rank.plan->segments[run.segment]];
    if (++run.op < segment.lane_begin[lane + 1]) return;
    ++run.segment;
    enter(*rank.plan, run, lane);
  }

  void meet(int r, std::size_t lane, const FoldOp& op, std::int64_t arrival_ns) {
    RankRun& rank = ranks_[static_cast<std::size_t>(r)];
    int& index = rank.lines[static_cast<std::size_t>(op.slot)];
    if (index < 0) index = find_line(r, op.slot);
    Line& line = lines_[static_cast<std::size_t>(index)];
    line.duration_ns = std::max(line.duration_ns, op.duration_ns);
    line.arrived.push_back({r, lane, arrival_ns});
    rank.lanes[lane].meets = true;
    if (static_cast<int>(line.arrived.size()) < line.members) return;
    std::int64_t start = 0;
    for (const Arrival& a : line.arrived) start = std::max(start, a.at_ns);
    const std::int64_t end = start + line.duration_ns;
    for (const Arrival& a : line.arrived) {
      RankRun& member = ranks_[static_cast<std::size_t>(a.rank)];
      LaneRun& run = member.lanes[a.lane];
      const FoldOp& own = store_[member.plan->segments[run.segment]].ops[static_cast<std::size_t>(run.op)];
      member.log[a.lane].add(own.time_class, own.waits_idle ? start : a.at_ns, end);
      run.meets = false;
      end_op(member, a.lane, a.at_ns, end);
      if (a.rank != r) push(a.rank);
    }
    line.arrived.clear();
    line.duration_ns = 0;
  }

  // The line on which a rank meets others in a slot: of groups that list the same classes, one stands for all.
  int find_line(int r, std::int32_t slot_index) {
    const MeetingSlot& slot = store_.slots()[static_cast<std::size_t>(slot_index)];
    const auto& groups = level_.partition->groups[static_cast<std::size_t>(r)];
    const auto group =
        std::find_if(groups.begin(), groups.end(), [&](const ClassGroup& g) { return g.name == slot.group; });
    SS_CHECK(group != groups.end(), slot.group);
    int from = -1, to = -1, members = group->distinct;
    if (slot.is_pair) {
      const int place = group->self + slot.offset;
      const auto peer = static_cast<std::size_t>(place);
      SS_CHECK(peer < group->classes.size(), slot.group, peer);
      from = slot.sends ? r : group->classes[peer];
      to = slot.sends ? group->classes[peer] : r;
      members = 2;
    }
    const auto [it, is_new] =
        known_.try_emplace({slot.group, group->list, slot.lane, from, to}, static_cast<int>(lines_.size()));
    if (is_new) lines_.push_back({members, 0, {}});
    return it->second;
  }

  void check_ended(std::size_t r) const {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      if (ranks_[r].lanes[lane].done) continue;
      throw Error(ErrorKind::kConfig, "the programs cannot end: rank " + std::to_string(level_.partition->first[r]) +
                                          " waits for ever on lane " + std::string(to_string(static_cast<Lane>(lane))) +
                                          "; collectives must be issued in one order by all ranks");
    }
  }

  const SegmentStore& store_;
  const FoldedLevel& level_;
  std::vector<RankRun> ranks_;
  std::deque<int> queue_;
  std::vector<Line> lines_;
  std::map<std::tuple<std::string, int, Lane, int, int>, int> known_;
};

// Of parents, up to when their children part from them: asked for the same time again and again.
class PrefixTimes {
 public:
  const RankTimes& of(const RankRun& parent, std::int64_t until_ns) {
    auto [it, is_new] = known_.try_emplace({&parent, until_ns});
    if (is_new) add_busy(it->second, {&parent.log}, 0, until_ns);
    return it->second;
  }

 private:
  std::map<std::pair<const RankRun*, std::int64_t>, RankTimes> known_;
};

RankTimes times_of(const RankRun& rank, PrefixTimes& prefixes) {
  RankTimes times;
  constexpr std::int64_t kEver = std::numeric_limits<std::int64_t>::max();
  if (rank.parent == nullptr) {
    add_busy(times, {&rank.log}, 0, kEver);
  } else {
    times = prefixes.of(*rank.parent, rank.earliest_ns);
    add_busy(times, {&rank.parent->log, &rank.log}, rank.earliest_ns, kEver);
  }
  return times;
}

}  // namespace

ClockResult run_folded(const SegmentStore& store, const std::vector<FoldedLevel>& levels,
                       std::int64_t step_overhead_ns) {
  std::vector<std::vector<RankRun>> runs;
  runs.reserve(levels.size());
  for (const FoldedLevel& level : levels) {
    std::vector<RankRun>* parents = runs.empty() ? nullptr : &runs.back();
    runs.push_back(LevelRun(store, level, parents, step_overhead_ns).run());
  }
  ClockResult result;
  for (const RankRun& rank : runs.back()) {
    for (const LaneRun& lane : rank.lanes) result.end_ns = std::max(result.end_ns, lane.end_ns);
  }
  PrefixTimes prefixes;
  const RankPartition& classes = *levels.back().partition;
  for (std::size_t r = 0; r < runs.back().size(); ++r) {
    RankTimes times = times_of(runs.back()[r], prefixes);
    times.idle_ns = result.end_ns;
    for (std::int64_t busy : times.busy_ns) times.idle_ns -= busy;
    result.ranks.push_back(times);
    result.ops += runs.back()[r].instructions * classes.members[r];
  }
  return result;
}

}  // namespace shardscope
