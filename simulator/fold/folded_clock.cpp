#include "simulator/fold/folded_clock.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <tuple>

#include "core/check.h"
#include "core/error.h"
#include "simulator/clock/shared_resources.h"
#include "simulator/fold/busy_log.h"

namespace shardscope {

namespace {

constexpr std::int64_t kUnknown = -1;

/// An op of a rank.
struct OpPlace {
  std::size_t segment = 0;
  std::int32_t op = -1;
};

struct LaneRun {
  std::size_t segment = 0;
  std::int32_t op = 0;
  std::int64_t end_ns = 0;
  OpPlace held_by;    // one that its next op waits for, if looked up
  bool busy = false;  // in a meeting, or with an op whose end is not known
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
using Members = std::vector<std::pair<int, std::int32_t>>;  // rank, number of draws

struct Line {
  int members = 0;
  std::int64_t duration_ns = 0, start_ns = 0;
  std::vector<Arrival> arrived;
  Members drawing;
  Members known;  // whose draws are ...
  const Draws* draws = nullptr;
};

// One op, or one meeting, that draws on what others can draw on.
struct Activity {
  int rank = -1;  // of the op, or
  std::size_t lane = 0;
  int line = -1;  // of the meeting
  const Draws* draws = nullptr;
  std::int64_t duration_ns = 0, start_ns = 0;
  std::uint32_t version = 0;
  Progress progress;
};

struct Event {
  std::int64_t time_ns, sequence;
  std::int32_t activity;
  std::uint32_t version;  // an event of an older one is void
  bool begins;
};
struct Later {
  bool operator()(const Event& a, const Event& b) const {
    return a.time_ns != b.time_ns ? a.time_ns > b.time_ns : a.sequence > b.sequence;
  }
};

// Ends that nothing can change are known as soon as their ops are ready, however late that is; the others come as
// events in order of time.
class LevelRun {
 public:
  LevelRun(const SegmentStore& store, const ResourceKinds& kinds, const FoldedLevel& level, LevelRun* parent,
           std::int64_t start_ns)
      : store_(store),
        kinds_(kinds),
        level_(level),
        parent_(parent),
        resources_(kinds, *level.partition),
        shared_(resources_.capacity()),
        last_use_ns_(resources_.capacity().size(), 0) {
    ranks_.resize(level.ranks.size());
    for (std::size_t r = 0; r < ranks_.size(); ++r) prepare(ranks_[r], level.ranks[r], start_ns);
  }

  /// Whether all came to their end; of the last level, or else it throws.
  bool run(bool is_last) {
    for (std::size_t r = 0; r < ranks_.size(); ++r) push(static_cast<int>(r));
    do {
      while (!queue_.empty()) {
        const int r = queue_.front();
        queue_.pop_front();
        ranks_[static_cast<std::size_t>(r)].queued = false;
        advance(r);
      }
    } while (next_event());
    bool ended = true;
    for (std::size_t r = 0; r < ranks_.size(); ++r) ended = has_ended(r, is_last) && ended;
    return ended;
  }

  const std::vector<RankRun>& ranks() const { return ranks_; }
  /// Whether something drew on what the level before it still drew on: neither's times are then right.
  bool meets_parent() const { return meets_parent_; }
  std::int64_t slowed() const { return slowed_; }

 private:
  void prepare(RankRun& rank, const FoldedRank& plan, std::int64_t start_ns) {
    rank.plan = &plan;
    if (plan.parent >= 0) rank.parent = &parent_->ranks_[static_cast<std::size_t>(plan.parent)];
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

  // ---- events

  bool next_event() {
    if (shared_.changed() && (events_.empty() || events_.front().time_ns > now_ns_)) {
      shared_.share([this](std::int32_t a, double speed) { set_speed(a, speed); });
    }
    if (events_.empty()) return false;
    std::pop_heap(events_.begin(), events_.end(), Later{});
    const Event event = events_.back();
    events_.pop_back();
    if (activities_[static_cast<std::size_t>(event.activity)].version != event.version) return true;
    now_ns_ = event.time_ns;
    if (event.begins) {
      begin(event.activity);
    } else {
      end(event.activity);
    }
    return true;
  }

  void schedule(std::int64_t time_ns, std::int32_t activity, bool begins) {
    const std::uint32_t version = activities_[static_cast<std::size_t>(activity)].version;
    events_.push_back({time_ns, sequence_++, activity, version, begins});
    std::push_heap(events_.begin(), events_.end(), Later{});
  }

  void start(Activity activity) {
    if (free_.empty()) {
      free_.push_back(static_cast<std::int32_t>(activities_.size()));
      activities_.emplace_back();
    }
    const std::int32_t a = free_.back();
    free_.pop_back();
    Activity& place = activities_[static_cast<std::size_t>(a)];
    activity.version = place.version + 1;
    place = activity;
    if (activity.start_ns > now_ns_) {
      schedule(activity.start_ns, a, true);
    } else {
      begin(a);
    }
  }

  void begin(std::int32_t a) {
    Activity& activity = activities_[static_cast<std::size_t>(a)];
    activity.progress = {static_cast<double>(activity.duration_ns), 1, now_ns_};
    if (shared_.add(a, *activity.draws)) {
      activity.progress.speed = 0;  // until they are shared out
    } else {
      schedule(now_ns_ + activity.duration_ns, a, false);
    }
  }

  void set_speed(std::int32_t a, double speed) {
    Activity& activity = activities_[static_cast<std::size_t>(a)];
    if (speed == activity.progress.speed) return;
    if (speed < 1) ++slowed_;
    const std::int64_t end_ns = activity.progress.change_speed(now_ns_, speed);
    ++activity.version;
    schedule(end_ns, a, false);
  }

  void end(std::int32_t a) {
    const Activity activity = activities_[static_cast<std::size_t>(a)];
    ++activities_[static_cast<std::size_t>(a)].version;
    free_.push_back(a);
    shared_.remove(a);
    if (activity.line >= 0) {
      end_meeting(lines_[static_cast<std::size_t>(activity.line)], now_ns_);
      return;
    }
    RankRun& rank = ranks_[static_cast<std::size_t>(activity.rank)];
    rank.lanes[activity.lane].busy = false;
    end_work(activity.rank, activity.lane, op_at(rank, activity.lane), activity.start_ns, now_ns_);
    push(activity.rank);
  }

  // ---- lanes

  const FoldOp& op_at(const RankRun& rank, std::size_t lane) const {
    const LaneRun& run = rank.lanes[lane];
    return store_[rank.plan->segments[run.segment]].ops[static_cast<std::size_t>(run.op)];
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
    while (!run.done && !run.busy) {
      const Segment& segment = store_[rank.plan->segments[run.segment]];
      const FoldOp& op = segment.ops[static_cast<std::size_t>(run.op)];
      std::int64_t start_ns = run.end_ns;
      for (std::int32_t w = op.first_wait; w < op.end_wait; ++w) {
        const OpPlace place = place_of(run, segment.waits[static_cast<std::size_t>(w)]);
        const std::int64_t end = rank.end_of(place.segment, place.op);
        if (end == kUnknown) return moved;
        start_ns = std::max(start_ns, end);
      }
      moved = true;
      if (op.kind == FlatKind::kMeeting) {
        meet(r, lane, op, start_ns);
      } else if (is_alone(rank, lane, op)) {
        end_work(r, lane, op, start_ns, start_ns + op.duration_ns);
      } else {
        run.busy = true;
        start({r, lane, -1, &resources_.draws_of(r, op.draws), op.duration_ns, start_ns, 0, {}});
      }
    }
    return moved;
  }

  static OpPlace place_of(const LaneRun& run, const FoldWait& wait) {
    return {wait.back < 0 ? 0 : run.segment - static_cast<std::size_t>(wait.back), wait.op};
  }

  // Whether nobody can draw on what the op draws on before it has ended: all other lanes that could wait for this one.
  bool is_alone(RankRun& rank, std::size_t lane, const FoldOp& op) const {
    const ResourceKinds::Use& use = kinds_.use(op.draws);
    if (use.demands.empty()) return true;
    if (!use.own_only) return false;
    for (std::size_t other = 0; other < kLanes; ++other) {
      if (other == lane || (use.lanes >> other & 1U) == 0) continue;
      if (!waits_for_lane(rank, rank.lanes[other], lane)) return false;
    }
    return true;
  }

  bool waits_for_lane(const RankRun& rank, LaneRun& run, std::size_t lane) const {
    if (run.done) return true;
    if (run.busy) return false;
    if (is_held(rank, run.held_by, lane)) return true;
    const Segment& segment = store_[rank.plan->segments[run.segment]];
    const FoldOp& op = segment.ops[static_cast<std::size_t>(run.op)];
    for (std::int32_t w = op.first_wait; w < op.end_wait; ++w) {
      run.held_by = place_of(run, segment.waits[static_cast<std::size_t>(w)]);
      if (is_held(rank, run.held_by, lane)) return true;
    }
    run.held_by = {};
    return false;
  }

  bool is_held(const RankRun& rank, const OpPlace& by, std::size_t lane) const {
    if (by.op < 0) return false;
    const Segment& segment = store_[rank.plan->segments[by.segment]];
    return by.op >= segment.lane_begin[lane] && by.op < segment.lane_begin[lane + 1] &&
           rank.end_of(by.segment, by.op) == kUnknown;
  }

  void end_work(int r, std::size_t lane, const FoldOp& op, std::int64_t start_ns, std::int64_t end_ns) {
    RankRun& rank = ranks_[static_cast<std::size_t>(r)];
    rank.log[lane].add(op.time_class, start_ns, end_ns);
    note_use(r, op.draws, start_ns, end_ns);
    end_op(rank, lane, start_ns, end_ns);
  }

  void end_op(RankRun& rank, std::size_t lane, std::int64_t start_ns, std::int64_t end_ns) {
    LaneRun& run = rank.lanes[lane];
    rank.earliest_ns = std::min(rank.earliest_ns, start_ns);
    rank.ends[rank.base[run.segment - rank.plan->own] + static_cast<std::size_t>(run.op)] = end_ns;
    run.end_ns = end_ns;
    run.held_by = {};
    const Segment& segment = store_[rank.plan->segments[run.segment]];
    if (++run.op < segment.lane_begin[lane + 1]) return;
    ++run.segment;
    enter(*rank.plan, run, lane);
  }

  void note_use(int r, std::int32_t draws, std::int64_t start_ns, std::int64_t end_ns) {
    for (const Demand& d : kinds_.use(draws).demands) {
      std::int64_t& last = last_use_ns_[static_cast<std::size_t>(resources_.resource(r, d.resource))];
      last = std::max(last, end_ns);
      const int parent = level_.ranks[static_cast<std::size_t>(r)].parent;
      if (parent < 0) continue;
      const int of_parent = parent_->resources_.resource(parent, d.resource);
      if (start_ns < parent_->last_use_ns_[static_cast<std::size_t>(of_parent)]) meets_parent_ = true;
    }
  }

  // ---- meetings

  void meet(int r, std::size_t lane, const FoldOp& op, std::int64_t arrival_ns) {
    RankRun& rank = ranks_[static_cast<std::size_t>(r)];
    int& index = rank.lines[static_cast<std::size_t>(op.slot)];
    if (index < 0) index = find_line(r, op.slot);
    Line& line = lines_[static_cast<std::size_t>(index)];
    line.duration_ns = std::max(line.duration_ns, op.duration_ns);
    line.arrived.push_back({r, lane, arrival_ns});
    if (!kinds_.use(op.draws).demands.empty()) line.drawing.emplace_back(r, op.draws);
    rank.lanes[lane].busy = true;
    if (static_cast<int>(line.arrived.size()) < line.members) return;
    line.start_ns = 0;
    for (const Arrival& a : line.arrived) line.start_ns = std::max(line.start_ns, a.at_ns);
    if (line.drawing.empty()) {
      end_meeting(line, line.start_ns + line.duration_ns);
    } else {
      start({-1, 0, index, &draws_of(line), line.duration_ns, line.start_ns, 0, {}});
    }
  }

  // The same as the last time, as a rule.
  const Draws& draws_of(Line& line) {
    std::sort(line.drawing.begin(), line.drawing.end());
    if (line.draws == nullptr || line.drawing != line.known) {
      line.known = line.drawing;
      line.draws = &resources_.draws_of(line.known);
    }
    line.drawing.clear();
    return *line.draws;
  }

  void end_meeting(Line& line, std::int64_t end_ns) {
    for (const Arrival& a : line.arrived) {
      RankRun& member = ranks_[static_cast<std::size_t>(a.rank)];
      const FoldOp& own = op_at(member, a.lane);
      member.log[a.lane].add(own.time_class, own.waits_idle ? line.start_ns : a.at_ns, end_ns);
      member.lanes[a.lane].busy = false;
      note_use(a.rank, own.draws, line.start_ns, end_ns);
      end_op(member, a.lane, a.at_ns, end_ns);
      push(a.rank);
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
    if (is_new) lines_.push_back({.members = members});
    return it->second;
  }

  bool has_ended(std::size_t r, bool or_throws) const {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      if (ranks_[r].lanes[lane].done) continue;
      if (!or_throws) return false;
      throw Error(ErrorKind::kConfig, "the programs cannot end: rank " + std::to_string(level_.partition->first[r]) +
                                          " waits for ever on lane " + std::string(to_string(static_cast<Lane>(lane))) +
                                          "; collectives must be issued in one order by all ranks");
    }
    return true;
  }

  const SegmentStore& store_;
  const ResourceKinds& kinds_;
  const FoldedLevel& level_;
  LevelRun* parent_;
  ClassResources resources_;
  SharedResources shared_;
  std::vector<std::int64_t> last_use_ns_;  // by resource
  bool meets_parent_ = false;
  std::vector<RankRun> ranks_;
  std::deque<int> queue_;
  std::deque<Line> lines_;
  std::map<std::tuple<std::string, int, Lane, int, int>, int> known_;
  std::int64_t now_ns_ = 0, sequence_ = 0, slowed_ = 0;
  std::vector<Event> events_;
  std::vector<Activity> activities_;
  std::vector<std::int32_t> free_;
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

ClockResult result_of(const LevelRun& run, const RankPartition& classes) {
  ClockResult result;
  for (const RankRun& rank : run.ranks()) {
    for (const LaneRun& lane : rank.lanes) result.end_ns = std::max(result.end_ns, lane.end_ns);
  }
  PrefixTimes prefixes;
  for (std::size_t r = 0; r < run.ranks().size(); ++r) {
    RankTimes times = times_of(run.ranks()[r], prefixes);
    times.idle_ns = result.end_ns;
    for (std::int64_t busy : times.busy_ns) times.idle_ns -= busy;
    result.ranks.push_back(times);
    result.ops += run.ranks()[r].instructions * classes.members[r];
  }
  return result;
}

// Its ranks from their beginning on.
FoldedLevel without_parents(FoldedLevel level) {
  for (FoldedRank& rank : level.ranks) rank.parent = -1, rank.own = 0;
  return level;
}

}  // namespace

ClockResult run_folded(const SegmentStore& store, const std::vector<Resource>& resources,
                       const std::vector<FoldedLevel>& levels, std::int64_t step_overhead_ns, FoldedWork* work) {
  const RankPartition& classes = *levels.back().partition;
  const ResourceKinds kinds(resources, store, static_cast<int>(classes.of.size()));
  std::vector<std::unique_ptr<LevelRun>> runs;
  bool apart = true;
  for (std::size_t i = 0; apart && i < levels.size(); ++i) {
    LevelRun* parent = runs.empty() ? nullptr : runs.back().get();
    runs.push_back(std::make_unique<LevelRun>(store, kinds, levels[i], parent, step_overhead_ns));
    apart = runs.back()->run(i + 1 == levels.size()) && !runs.back()->meets_parent();
    if (work != nullptr) work->slowed += runs.back()->slowed();
  }
  if (work != nullptr) work->again = !apart;
  if (apart) return result_of(*runs.back(), classes);
  const FoldedLevel all = without_parents(levels.back());
  LevelRun run(store, kinds, all, nullptr, step_overhead_ns);
  run.run(true);
  return result_of(run, classes);
}

}  // namespace shardscope
