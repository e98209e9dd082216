#include "profiler/query/time_breakdown.h"

#include <algorithm>

#include "core/error.h"
#include "profiler/query/collective_waits.h"
#include "profiler/query/rank_work.h"

namespace shardscope {
namespace {

/// What is under way, in the order of its claims.
enum Claim : std::uint8_t {
  kClaimOptimizer,
  kClaimLoad,
  kClaimCompute,
  kClaimOpaque,
  kClaimMoving,
  kClaimWaiting,
  kClaimCopy
};
constexpr int kClaims = 7;
constexpr TimePart kPartOfClaim[kClaims] = {TimePart::kOptimizer, TimePart::kLoad,          TimePart::kCompute,
                                            TimePart::kNotKnown,  TimePart::kCommunication, TimePart::kWaiting,
                                            TimePart::kCopies};

struct Edge {
  std::int64_t time_ns;
  Claim claim;
  int change;
};

Claim claim_of(const RankWork& work, const DeviceSlice& s) {
  if (work.op(s.op).opaque) return kClaimOpaque;
  if (s.activity == Activity::kCompute && s.phase == Phase::kOptimizer) return kClaimOptimizer;
  switch (s.activity) {
    case Activity::kOptimizer:
      return kClaimOptimizer;
    case Activity::kLoad:
      return kClaimLoad;
    case Activity::kCommunication:
      return kClaimMoving;
    case Activity::kOffload:
      return kClaimCopy;
    case Activity::kCompute:
    case Activity::kNone:
      break;
  }
  return kClaimCompute;
}

void add_edges(std::vector<Edge>& edges, TimeWindow window, TimeWindow time, Claim claim) {
  const std::int64_t begin = std::max(time.begin_ns, window.begin_ns), end = std::min(time.end_ns, window.end_ns);
  if (begin >= end) return;
  edges.push_back({begin, claim, 1});
  edges.push_back({end, claim, -1});
}

std::vector<Edge> edges_of(const RankWork& work, TimeWindow window) {
  std::vector<Edge> edges;
  for (const DeviceSlice& s : work.device) {
    const Claim claim = claim_of(work, s);
    const std::int64_t waits = claim == kClaimMoving ? s.wait_ns : 0;
    add_edges(edges, window, {s.time.begin_ns, s.time.begin_ns + waits}, kClaimWaiting);
    add_edges(edges, window, {s.time.begin_ns + waits, s.time.end_ns}, claim);
  }
  std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) { return a.time_ns < b.time_ns; });
  return edges;
}

/// Cuts a gap where events are missing.
template <class F>
void without_missing(TimeWindow gap, const std::vector<TimeWindow>& missing, std::int64_t& not_known_ns, F&& idle) {
  std::int64_t from = gap.begin_ns;
  for (const TimeWindow& m : missing) {
    const std::int64_t begin = std::clamp(m.begin_ns, from, gap.end_ns), end = std::clamp(m.end_ns, from, gap.end_ns);
    if (end <= begin) continue;
    if (begin > from) idle(TimeWindow{from, begin});
    not_known_ns += end - begin;
    from = end;
  }
  if (gap.end_ns > from) idle(TimeWindow{from, gap.end_ns});
}

std::string name_of(const WorkOp& op) { return op.name.empty() ? op.kind : op.name; }

IdleGap gap_of(const RunStep& step, const RankWork& work, TimeWindow time, const std::vector<IdlePiece>& pieces) {
  IdleGap gap{step.rank, step.step, TimePart::kIdleUnknown, time, "", ""};
  std::array<std::int64_t, kIdleCauses> by_cause{};
  for (const IdlePiece& p : pieces) by_cause[static_cast<std::size_t>(p.cause)] += p.time.length();
  gap.cause = part_of(static_cast<IdleCause>(std::max_element(by_cause.begin(), by_cause.end()) - by_cause.begin()));
  const auto next = std::lower_bound(work.device.begin(), work.device.end(), time.end_ns,
                                     [](const DeviceSlice& s, std::int64_t t) { return s.time.begin_ns < t; });
  if (next != work.device.end()) gap.after = name_of(work.op(next->op));
  if (next != work.device.begin()) gap.before = name_of(work.op((next - 1)->op));
  return gap;
}

/// Missing events, as the table `loss` says, by time.
std::vector<TimeWindow> missing_of(const Profile& profile, std::int64_t run, int rank) {
  std::vector<TimeWindow> missing;
  if (profile.schema_version() < 4) return missing;
  Rows rows = profile.rows(
      "SELECT start_ns, end_ns FROM loss WHERE run = ? AND (rank = ? OR rank = -1) AND start_ns IS NOT NULL AND end_ns "
      "IS NOT NULL ORDER BY start_ns",
      {Value(run), Value(std::int64_t{rank})});
  while (rows.next()) missing.push_back({rows.integer(0), rows.integer(1)});
  return missing;
}

void keep_longest(std::vector<IdleGap>& gaps, std::size_t most) {
  const auto longer = [](const IdleGap& a, const IdleGap& b) { return a.time.length() > b.time.length(); };
  std::stable_sort(gaps.begin(), gaps.end(), longer);
  if (gaps.size() > most) gaps.resize(most);
}

/// Both are by rank, then step.
bool is_counted(const std::vector<RunStep>& counted, const RunStep& step) {
  return std::binary_search(counted.begin(), counted.end(), step, [](const RunStep& a, const RunStep& b) {
    return std::pair(a.rank, a.step) < std::pair(b.rank, b.step);
  });
}

bool is_imported(const Profile& profile, std::int64_t run) {
  return profile.schema_version() >= 4 && profile.rows("SELECT 1 FROM source WHERE run = ?", {Value(run)}).next();
}

}  // namespace

std::string_view to_string(TimePart part) {
  constexpr std::array<std::string_view, kTimeParts> kNames = {"compute",
                                                               "optimizer",
                                                               "loading data",
                                                               "exposed communication",
                                                               "waiting for other ranks",
                                                               "exposed copies",
                                                               "idle: host launches",
                                                               "idle: host synchronizes",
                                                               "idle: reading data",
                                                               "idle: allocation",
                                                               "idle: another queue",
                                                               "idle: unknown",
                                                               "not known"};
  return kNames[static_cast<std::size_t>(part)];
}

std::string_view key_of(TimePart part) {
  constexpr std::array<std::string_view, kTimeParts> kKeys = {
      "compute",   "optimizer",       "load",        "communication", "waiting",  "copies", "idle_launch", "idle_sync",
      "idle_data", "idle_allocation", "idle_queued", "idle_unknown",  "not_known"};
  return kKeys[static_cast<std::size_t>(part)];
}

TimePart part_of(IdleCause cause) {
  constexpr TimePart kParts[kIdleCauses] = {TimePart::kIdleLaunch,     TimePart::kIdleSync,   TimePart::kIdleData,
                                            TimePart::kIdleAllocation, TimePart::kIdleQueued, TimePart::kIdleUnknown};
  return kParts[static_cast<std::size_t>(cause)];
}

StepTime divide_time(const RunStep& step, const RankWork& work, const std::vector<TimeWindow>& missing,
                     std::vector<IdleGap>* gaps) {
  StepTime divided{step.rank, step.step, step.time, {}, 0, 0, 0};
  const std::vector<Edge> edges = edges_of(work, step.time);
  std::array<int, kClaims> active{};
  const auto add = [&](TimePart part, std::int64_t ns) { divided.ns[part] += ns; };
  const auto idle = [&](TimeWindow gap) {
    const std::vector<IdlePiece> pieces = idle_pieces(work, gap);
    for (const IdlePiece& piece : pieces) add(part_of(piece.cause), piece.time.length());
    if (gaps != nullptr) gaps->push_back(gap_of(step, work, gap, pieces));
  };
  std::size_t at = 0;
  for (std::int64_t from = step.time.begin_ns; from < step.time.end_ns;) {
    for (; at < edges.size() && edges[at].time_ns <= from; ++at) active[edges[at].claim] += edges[at].change;
    const std::int64_t to = at < edges.size() ? edges[at].time_ns : step.time.end_ns, ns = to - from;
    const auto first = std::find_if(active.begin(), active.end(), [](int n) { return n > 0; });
    if (active[kClaimMoving] + active[kClaimWaiting] > 0) divided.communication_ns += ns;
    if (active[kClaimCopy] > 0) divided.copies_ns += ns;
    if (first != active.end()) {
      divided.busy_ns += ns;
      add(kPartOfClaim[first - active.begin()], ns);
    } else {
      without_missing({from, to}, missing, divided.ns[TimePart::kNotKnown], idle);
    }
    from = to;
  }
  return divided;
}

KnownWaits::KnownWaits(const Profile& profile, std::int64_t run) {
  if (!is_imported(profile, run)) return;  // our own ranks measured it
  const MatchedCollectives matched = match_collectives(profile, run);
  for (const WaitedCall& call : waited_calls(matched, align_clocks(matched))) {
    if (call.rank < 0 || call.rank > (1 << 24) || call.wait_ns == 0) continue;
    const auto rank = static_cast<std::size_t>(call.rank);
    if (by_rank_.size() <= rank) by_rank_.resize(rank + 1);
    by_rank_[rank].push_back({call.start_ns, call.end_ns, call.wait_ns});
  }
  for (auto& calls : by_rank_) std::sort(calls.begin(), calls.end());
}

void KnownWaits::put_into(RankWork& work) const {
  if (static_cast<std::size_t>(work.rank) >= by_rank_.size()) return;
  const auto& calls = by_rank_[static_cast<std::size_t>(work.rank)];
  for (DeviceSlice& s : work.device) {
    if (s.activity != Activity::kCommunication || s.wait_ns > 0) continue;
    const auto found =
        std::lower_bound(calls.begin(), calls.end(), std::array<std::int64_t, 3>{s.time.begin_ns, s.time.end_ns, 0});
    if (found != calls.end() && (*found)[0] == s.time.begin_ns && (*found)[1] == s.time.end_ns) s.wait_ns = (*found)[2];
  }
}

TimeBreakdown time_breakdown(const Profile& profile, std::int64_t run, const BreakdownOf& what) {
  TimeBreakdown breakdown;
  RunSteps steps = run_steps(profile, run);
  breakdown.source = steps.source;
  if (!steps.remark.empty()) breakdown.remarks.push_back(steps.remark);
  const std::vector<RunStep> counted = counted_steps(steps);
  std::erase_if(steps.steps, [&](const RunStep& s) {
    return (what.rank >= 0 && s.rank != what.rank) || (what.step >= 0 && s.step != what.step);
  });
  if (steps.steps.empty() && (what.rank >= 0 || what.step >= 0)) {
    throw Error(ErrorKind::kConfig, profile.path() + ": run " + std::to_string(run) + " has no " +
                                        (what.step >= 0 ? "step " + std::to_string(what.step) : "steps") +
                                        (what.rank >= 0 ? " of a rank " + std::to_string(what.rank) : ""));
  }
  const KnownWaits waits(profile, run);
  LaunchSums launches;
  bool no_host = false;
  for (auto first = steps.steps.begin(); first != steps.steps.end();) {
    const int rank = first->rank;
    first = std::find_if(first, steps.steps.end(), [&](const RunStep& s) { return s.rank != rank; });
    const RankWorkReader reader(profile, run, rank);
    breakdown.has_device = breakdown.has_device || reader.has_device();
    no_host = no_host || !reader.has_host();
    std::vector<TimeWindow> missing = missing_of(profile, run, rank);
    if (!reader.has_device()) missing.assign(1, {INT64_MIN / 4, INT64_MAX / 4});
    for_each_step(reader, steps, [&](const RunStep& step, const RankWork& read) {
      RankWork work = read;
      waits.put_into(work);
      const bool counts = what.step >= 0 || is_counted(counted, step);
      breakdown.steps.push_back(divide_time(step, work, missing, counts ? &breakdown.gaps : nullptr));
      if (counts) launches.add(work, step.time);
      if (breakdown.gaps.size() > 100 * TimeBreakdown::kMostGaps)
        keep_longest(breakdown.gaps, TimeBreakdown::kMostGaps);
    });
  }
  keep_longest(breakdown.gaps, TimeBreakdown::kMostGaps);
  breakdown.ranges = launches.take();
  if (!breakdown.steps.empty() && !breakdown.has_device) {
    breakdown.remarks.emplace_back("No work of a device was recorded: where the time of its steps goes is not known.");
  } else if (no_host) {
    breakdown.remarks.emplace_back("Calls of the host were not recorded: what made a device idle is unknown.");
  }
  return breakdown;
}

PartSums sum_of(const TimeBreakdown& breakdown, int rank) {
  RunSteps steps;
  for (const StepTime& s : breakdown.steps) steps.steps.push_back({s.rank, s.step, s.time});
  const std::vector<RunStep> counted = counted_steps(steps);
  PartSums sum;
  for (const StepTime& s : breakdown.steps) {
    if ((rank >= 0 && s.rank != rank) || !is_counted(counted, {s.rank, s.step, s.time})) continue;
    for (std::size_t i = 0; i < sum.ns.size(); ++i) sum.ns[i] += s.ns[i];
    sum.communication_ns += s.communication_ns;
    sum.copies_ns += s.copies_ns;
    sum.total_ns += s.time.length();
    ++sum.steps;
  }
  return sum;
}

}  // namespace shardscope
