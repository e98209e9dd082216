#include "simulator/clock/virtual_clock.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/check.h"
#include "core/error.h"
#include "simulator/clock/shared_resources.h"

namespace shardscope {

namespace {

enum class EventKind : std::uint8_t { kEnd, kBegin, kWake, kStepStart };

struct Event {
  std::int64_t time_ns;
  std::int64_t sequence;
  std::int32_t subject;   // activity, queue or rank
  std::uint32_t version;  // of the activity's end; an event of an older version is void
  EventKind kind;
};

struct Later {
  bool operator()(const Event& a, const Event& b) const {
    return a.time_ns != b.time_ns ? a.time_ns > b.time_ns : a.sequence > b.sequence;
  }
};

// One op or one meeting that runs.
struct Activity {
  std::int32_t op = -1;  // the op, or -1 for a meeting
  std::int32_t meeting = -1;
  std::int32_t draws = 0;
  std::uint32_t version = 0;
  Progress progress;
};

enum class QueueState : std::uint8_t { kIdle, kWaking, kRunning };

struct QueueRun {
  std::int32_t cursor = 0;
  QueueState state = QueueState::kIdle;
  std::int64_t started_ns = 0;  // of the running op; arrival, for a collective
};

struct RankRun {
  std::int32_t left = 0;  // ops of this step not yet done
  std::int32_t step = 0;
  std::int64_t step_start_ns = 0;
  std::int64_t accounted_ns = 0;
  std::array<std::int32_t, kTimeClasses> running{};
  RankTimes times;
};

class Clock {
 public:
  Clock(const FlatProgram& program, const ClockOptions& options)
      : p_(program), options_(options), shared_(program.capacity) {
    pending_.resize(p_.ops.size());
    queues_.resize(p_.queues.size());
    ranks_.resize(static_cast<std::size_t>(p_.ranks()));
    arrived_.resize(p_.meetings.size());
    memory_ns_.resize(p_.memory.size());
    events_.reserve(p_.queues.size() * 2 + 16);
    activities_.reserve(p_.queues.size() + 1);
    waiting_.reserve(p_.queues.size());
    ready_.reserve(p_.queues.size());
  }

  ClockResult run() {
    begin_steps();
    while (next_event()) {
    }
    check_all_ended();
    ClockResult result;
    result.ops = done_;
    result.end_ns = now_;
    for (const RankRun& rank : ranks_) result.ranks.push_back(rank.times);
    return result;
  }

 private:
  // ---- events

  bool next_event() {
    if (shared_.changed() && (events_.empty() || events_.front().time_ns > now_)) {
      shared_.share([this](std::int32_t a, double speed) { set_speed(a, speed); });
    }
    if (events_.empty()) return false;
    std::pop_heap(events_.begin(), events_.end(), Later{});
    const Event event = events_.back();
    events_.pop_back();
    const auto subject = static_cast<std::size_t>(event.subject);
    const bool of_activity = event.kind == EventKind::kEnd || event.kind == EventKind::kBegin;
    if (of_activity && activities_[subject].version != event.version) return true;
    now_ = event.time_ns;
    switch (event.kind) {
      case EventKind::kEnd:
        end_activity(event.subject);
        break;
      case EventKind::kBegin:
        end_waiting(event.subject);
        break;
      case EventKind::kWake:
        queues_[subject].state = QueueState::kIdle;
        ready_.push_back(event.subject);
        break;
      case EventKind::kStepStart:
        start_lanes(event.subject);
        break;
    }
    advance_ready();
    if (!waiting_.empty()) admit_waiting();
    return true;
  }

  void schedule(std::int64_t time_ns, EventKind kind, std::int32_t subject, std::uint32_t version = 0) {
    events_.push_back({time_ns, sequence_++, subject, version, kind});
    std::push_heap(events_.begin(), events_.end(), Later{});
  }

  // ---- steps

  // All ranks start a step together, as the trainer's do.
  void begin_steps() {
    ranks_in_step_ = p_.ranks();
    for (int r = 0; r < p_.ranks(); ++r) begin_step(r);
  }

  void begin_step(int r) {
    RankRun& rank = ranks_[static_cast<std::size_t>(r)];
    const auto first = p_.first_op[static_cast<std::size_t>(r)], end = p_.first_op[static_cast<std::size_t>(r) + 1];
    for (std::int32_t i = first; i < end; ++i) {
      pending_[static_cast<std::size_t>(i)] = p_.ops[static_cast<std::size_t>(i)].pending;
    }
    rank.left = end - first;
    rank.step_start_ns = now_;
    schedule(now_ + p_.step_overhead_ns, EventKind::kStepStart, r);
  }

  void start_lanes(int r) {
    const auto i = static_cast<std::size_t>(r);
    for (std::int32_t q = p_.first_queue[i]; q < p_.first_queue[i + 1]; ++q) {
      queues_[static_cast<std::size_t>(q)] = {p_.queues[static_cast<std::size_t>(q)].first, QueueState::kIdle, now_};
      ready_.push_back(q);
    }
    if (ranks_[i].left == 0) end_step(r);
  }

  void end_step(int r) {
    RankRun& rank = ranks_[static_cast<std::size_t>(r)];
    if (RankTrace* trace = trace_of(r)) {
      trace_memory(r, *trace);
      const double unknown = std::nan("");
      trace->step({rank.step, rank.step_start_ns, now_ - rank.step_start_ns, unknown, unknown, unknown});
    }
    ++rank.step;
    if (--ranks_in_step_ > 0) return;
    for (RankRun& each : ranks_) account(each);
    if (rank.step < options_.steps) begin_steps();
  }

  // ---- lanes

  // First come, first served; what becomes ready meanwhile queues up behind.
  void advance_ready() {
    for (std::size_t i = 0; i < ready_.size(); ++i) advance(ready_[i]);
    ready_.clear();
  }

  // Starts what the head of an idle lane can start; ops without duration are done on the way.
  void advance(std::int32_t q) {
    QueueRun& queue = queues_[static_cast<std::size_t>(q)];
    const FlatQueue& flat = p_.queues[static_cast<std::size_t>(q)];
    while (queue.state == QueueState::kIdle && queue.cursor < flat.end) {
      const std::int32_t index = p_.order[static_cast<std::size_t>(queue.cursor)];
      if (pending_[static_cast<std::size_t>(index)] > 0) return;
      const FlatOp& op = p_.ops[static_cast<std::size_t>(index)];
      queue.started_ns = now_;
      if (op.kind == FlatKind::kWork) {
        queue.state = QueueState::kRunning;
        count_running(op, 1);
        start_activity(index, -1, op.draws, op.duration_ns, op.crowded_ns);
      } else if (op.kind == FlatKind::kMeeting) {
        queue.state = QueueState::kRunning;
        arrive(op);
      } else {
        if (!memory_ns_.empty()) memory_ns_[static_cast<std::size_t>(index)] = now_;
        ++queue.cursor;
        complete(op);
      }
    }
  }

  void arrive(const FlatOp& op) {
    if (!op.waits_idle) count_running(op, 1);
    const auto m = static_cast<std::size_t>(op.meeting);
    const FlatMeeting& meeting = p_.meetings[m];
    if (++arrived_[m] < meeting.members) return;
    arrived_[m] = 0;
    for (std::int32_t i = 0; i < meeting.members; ++i) {
      const FlatOp& member = p_.ops[static_cast<std::size_t>(member_of(meeting, i))];
      if (member.waits_idle) count_running(member, 1);
    }
    start_activity(-1, op.meeting, meeting.draws, meeting.duration_ns, meeting.crowded_ns);
  }

  void end_op(std::int32_t index, std::int64_t work_ns) {
    const FlatOp& op = p_.ops[static_cast<std::size_t>(index)];
    QueueRun& queue = queues_[static_cast<std::size_t>(op.queue)];
    count_running(op, -1);
    if (RankTrace* trace = trace_of(op.rank)) {
      const std::int64_t duration = now_ - queue.started_ns;
      trace->slice({OpId{op.instruction}, ranks_[static_cast<std::size_t>(op.rank)].step,
                    p_.queues[static_cast<std::size_t>(op.queue)].lane, queue.started_ns, duration,
                    op.kind == FlatKind::kMeeting ? duration - work_ns : 0});
    }
    queue.state = QueueState::kIdle;
    ++queue.cursor;
    ready_.push_back(op.queue);
    complete(op);
  }

  void complete(const FlatOp& op) {
    ++done_;
    for (std::uint32_t s = 0; s < op.successor_count; ++s) {
      const std::int32_t next = p_.successors[op.first_successor + s];
      if (--pending_[static_cast<std::size_t>(next)] == 0) wake(next);
    }
    RankRun& rank = ranks_[static_cast<std::size_t>(op.rank)];
    if (--rank.left == 0) end_step(op.rank);
  }

  // An op has become ready. If its lane stands there waiting for it, the lane wakes up, which takes a moment.
  void wake(std::int32_t index) {
    const std::int32_t q = p_.ops[static_cast<std::size_t>(index)].queue;
    QueueRun& queue = queues_[static_cast<std::size_t>(q)];
    const bool waits = queue.state == QueueState::kIdle && queue.cursor < p_.queues[static_cast<std::size_t>(q)].end &&
                       p_.order[static_cast<std::size_t>(queue.cursor)] == index;
    if (!waits) return;
    if (p_.wake_ns == 0) {
      ready_.push_back(q);
    } else {
      queue.state = QueueState::kWaking;
      schedule(now_ + p_.wake_ns, EventKind::kWake, q);
    }
  }

  // ---- activities and what they share

  // An op that finds what it draws on used up waits first, drawing nothing: its time, or until there is room.
  void start_activity(std::int32_t op, std::int32_t meeting, std::int32_t draws, std::int64_t duration_ns,
                      std::int64_t crowded_ns) {
    const std::int32_t a = take_activity();
    Activity& activity = activities_[static_cast<std::size_t>(a)];
    activity = {op, meeting, draws, activity.version + 1, {static_cast<double>(duration_ns), 1.0, now_}};
    if (crowded_ns > 0 && shared_.is_used_up(draws_of(draws))) {
      waiting_.push_back(a);
      schedule(now_ + crowded_ns, EventKind::kBegin, a, activity.version);
    } else {
      begin_activity(a);
    }
  }

  void end_waiting(std::int32_t a) {
    ++activities_[static_cast<std::size_t>(a)].version;
    waiting_.erase(std::find(waiting_.begin(), waiting_.end(), a));
    begin_activity(a);
  }

  // Something has ended: whoever waited for room and has it now begins.
  void admit_waiting() {
    for (std::size_t i = 0; i < waiting_.size();) {
      const std::int32_t a = waiting_[i];
      if (shared_.is_used_up(draws_of(activities_[static_cast<std::size_t>(a)].draws))) {
        ++i;
      } else {
        end_waiting(a);
      }
    }
  }

  void begin_activity(std::int32_t a) {
    Activity& activity = activities_[static_cast<std::size_t>(a)];
    activity.progress.since_ns = now_;
    if (shared_.add(a, draws_of(activity.draws))) {
      activity.progress.speed = 0;  // until they are shared out
    } else {
      schedule(now_ + static_cast<std::int64_t>(activity.progress.left_ns), EventKind::kEnd, a, activity.version);
    }
  }

  const Draws& draws_of(std::int32_t number) const { return p_.draws[static_cast<std::size_t>(number)]; }

  void end_activity(std::int32_t a) {
    const Activity activity = activities_[static_cast<std::size_t>(a)];
    ++activities_[static_cast<std::size_t>(a)].version;
    free_activities_.push_back(a);
    shared_.remove(a);
    if (activity.op >= 0) {
      end_op(activity.op, 0);
    } else {
      end_meeting(p_.meetings[static_cast<std::size_t>(activity.meeting)]);
    }
  }

  void end_meeting(const FlatMeeting& meeting) {
    std::int64_t last_arrival = 0;
    for (std::int32_t i = 0; i < meeting.members; ++i) {
      last_arrival = std::max(last_arrival, queue_of(member_of(meeting, i)).started_ns);
    }
    for (std::int32_t i = 0; i < meeting.members; ++i) end_op(member_of(meeting, i), now_ - last_arrival);
  }

  void set_speed(std::int32_t a, double speed) {
    Activity& activity = activities_[static_cast<std::size_t>(a)];
    if (speed == activity.progress.speed) return;
    const std::int64_t end_ns = activity.progress.change_speed(now_, speed);
    schedule(end_ns, EventKind::kEnd, a, ++activity.version);
  }

  std::int32_t take_activity() {
    if (free_activities_.empty()) {
      activities_.emplace_back();
      return static_cast<std::int32_t>(activities_.size()) - 1;
    }
    const std::int32_t a = free_activities_.back();
    free_activities_.pop_back();
    return a;
  }

  // ---- accounts and traces

  void count_running(const FlatOp& op, int change) {
    RankRun& rank = ranks_[static_cast<std::size_t>(op.rank)];
    account(rank);
    rank.running[static_cast<std::size_t>(op.time_class)] += change;
  }

  void account(RankRun& rank) {
    const std::int64_t passed = now_ - rank.accounted_ns;
    if (passed == 0) return;
    rank.accounted_ns = now_;
    for (std::size_t c = 0; c < kTimeClasses; ++c) {
      if (rank.running[c] == 0) continue;
      rank.times.busy_ns[c] += passed;
      return;
    }
    rank.times.idle_ns += passed;
  }

  RankTrace* trace_of(int r) const {
    return options_.traces.empty() ? nullptr : options_.traces[static_cast<std::size_t>(r)];
  }

  // As the executor does it: rows in program order, timed by when the lane got there, never running backwards.
  void trace_memory(int r, RankTrace& trace) {
    if (p_.memory.empty()) return;
    const auto i = static_cast<std::size_t>(r);
    std::int64_t last_ns = 0;
    for (std::int32_t index = p_.first_op[i]; index < p_.first_op[i + 1]; ++index) {
      const FlatOp& op = p_.ops[static_cast<std::size_t>(index)];
      if (op.kind != FlatKind::kMemory) continue;
      const MemoryChange& change = p_.memory[static_cast<std::size_t>(index)];
      last_ns = std::max(last_ns, memory_ns_[static_cast<std::size_t>(index)]);
      trace.memory({OpId{op.instruction}, ranks_[i].step, last_ns, change.space, change.category, change.live_bytes});
    }
  }

  std::int32_t member_of(const FlatMeeting& meeting, std::int32_t i) const {
    return p_.members[static_cast<std::size_t>(meeting.first_member) + static_cast<std::size_t>(i)];
  }
  const QueueRun& queue_of(std::int32_t op) const {
    return queues_[static_cast<std::size_t>(p_.ops[static_cast<std::size_t>(op)].queue)];
  }

  void check_all_ended() const {
    for (std::size_t r = 0; r < ranks_.size(); ++r) {
      if (ranks_[r].step < options_.steps) fail_stuck(r);
    }
  }

  // Names a collective whose peers never came, or else the first op that was never ready.
  [[noreturn]] void fail_stuck(std::size_t rank) const {
    std::int32_t stuck = -1;
    for (std::int32_t q = p_.first_queue[rank]; q < p_.first_queue[rank + 1]; ++q) {
      const QueueRun& queue = queues_[static_cast<std::size_t>(q)];
      if (queue.cursor >= p_.queues[static_cast<std::size_t>(q)].end) continue;
      if (stuck < 0 || queue.state == QueueState::kRunning) stuck = q;
    }
    SS_CHECK(stuck >= 0, rank);
    const std::int32_t at = queues_[static_cast<std::size_t>(stuck)].cursor;
    const FlatOp& op = p_.ops[static_cast<std::size_t>(p_.order[static_cast<std::size_t>(at)])];
    const Lane lane = p_.queues[static_cast<std::size_t>(stuck)].lane;
    throw Error(ErrorKind::kConfig, "the programs cannot end: rank " + std::to_string(rank) + " waits for ever at op " +
                                        std::to_string(op.instruction) + " of lane " + std::string(to_string(lane)) +
                                        "; collectives must be issued in one order by all ranks");
  }

  const FlatProgram& p_;
  const ClockOptions& options_;
  std::int64_t now_ = 0, sequence_ = 0, done_ = 0;
  std::vector<Event> events_;
  std::vector<std::int32_t> pending_, arrived_, ready_, waiting_, free_activities_;
  std::vector<QueueRun> queues_;
  std::vector<RankRun> ranks_;
  std::vector<Activity> activities_;
  std::vector<std::int64_t> memory_ns_;  // traced runs only, by op: when its lane got there
  SharedResources shared_;
  int ranks_in_step_ = 0;  // not yet at the end of theirs
};

}  // namespace

ClockResult run_clock(const FlatProgram& program, const ClockOptions& options) { return Clock(program, options).run(); }

}  // namespace shardscope
