#include "profiler/query/run_difference.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/error.h"
#include "profiler/query/rank_work.h"

namespace shardscope {
namespace {

struct FamilySum {
  double seconds = 0, count = 0;
};
using FamilyKey = std::tuple<WorkFamily, std::string, std::optional<Phase>>;

struct CallSum {
  double bytes = 0, seconds = 0, wait_s = 0, count = 0;
  void add(const CallSum& other) {
    bytes += other.bytes, seconds += other.seconds, wait_s += other.wait_s, count += other.count;
  }
};

/// What is known of one run, summed over its counted steps and ranks.
struct RunSums {
  TimeBreakdown breakdown;
  PartSums parts;
  std::map<FamilyKey, FamilySum> families;
  /// By kind: of each place in the order of a step the sum; and in how many steps there were how many of it.
  std::map<std::string, std::vector<CallSum>> calls;
  std::map<std::string, std::set<std::size_t>> counts;
  double steps = 0;
  bool phases = false;  ///< of anything the phase is known
};

void add_step(const RunStep& step, const RankWork& work, RunSums& sums) {
  std::map<std::string, std::vector<CallSum>> calls;
  for (const DeviceSlice& s : work.device) {
    if (s.time.begin_ns < step.time.begin_ns || s.time.begin_ns >= step.time.end_ns) continue;
    const WorkOp& op = work.op(s.op);
    const double seconds = 1e-9 * static_cast<double>(s.time.length());
    const bool communicates = s.activity == Activity::kCommunication;
    const bool optimizes = s.activity == Activity::kOptimizer || s.phase == Phase::kOptimizer;
    WorkFamily family = communicates ? WorkFamily::kCollective : work_family(op.kind, op.name);
    if (optimizes && s.activity != Activity::kOffload && !communicates) family = WorkFamily::kOptimizer;
    std::optional<Phase> phase = s.phase;
    if (phase == Phase::kRecompute) phase = Phase::kBackward;  // PyTorch recomputes within backward
    sums.phases = sums.phases || phase.has_value();
    FamilySum& sum = sums.families[{family, communicates ? op.kind : "", phase}];
    sum.seconds += seconds;
    sum.count += 1;
    if (communicates)
      calls[op.kind].push_back({static_cast<double>(op.collective_bytes), seconds, 1e-9 * double(s.wait_ns), 1});
  }
  for (auto& [kind, own] : calls) {
    std::vector<CallSum>& places = sums.calls[kind];
    if (places.size() < own.size()) places.resize(own.size());
    for (std::size_t i = 0; i < own.size(); ++i) places[i].add(own[i]);
    sums.counts[kind].insert(own.size());
  }
  sums.steps += 1;
}

RunSums sums_of(const Profile& profile, std::int64_t run) {
  RunSums sums;
  sums.breakdown = time_breakdown(profile, run);
  sums.parts = sum_of(sums.breakdown);
  if (sums.parts.steps == 0)
    throw Error(ErrorKind::kConfig, profile.path() + ": run " + std::to_string(run) + " has no steps to compare");
  RunSteps counted;
  for (const StepTime& s : sums.breakdown.steps) counted.steps.push_back({s.rank, s.step, s.time});
  counted.steps = counted_steps(counted);
  const KnownWaits waits(profile, run);
  std::set<int> ranks;
  for (const RunStep& s : counted.steps) ranks.insert(s.rank);
  for (int rank : ranks) {
    const RankWorkReader reader(profile, run, rank);
    for_each_step(reader, counted, [&](const RunStep& step, const RankWork& read) {
      RankWork work = read;
      waits.put_into(work);
      add_step(step, work, sums);
    });
  }
  return sums;
}

/// Phases are compared only where both runs know them.
void add_families(const RunSums& sums, bool phases, double FamilyDifference::*seconds, double FamilyDifference::*count,
                  std::map<FamilyKey, FamilyDifference>& all) {
  for (const auto& [key, sum] : sums.families) {
    FamilyKey own = key;
    if (!phases) std::get<2>(own).reset();
    FamilyDifference& f = all[own];
    std::tie(f.family, f.kind, f.phase) = own;
    f.*seconds += sum.seconds / sums.steps;
    f.*count += sum.count / sums.steps;
  }
}

bool is_steady(const RunSums& sums, const std::string& kind) {
  const auto found = sums.counts.find(kind);
  return found != sums.counts.end() && found->second.size() == 1 &&
         sums.calls.at(kind).front().count == sums.steps;  // in every step of every rank
}

CallSum all_of(const RunSums& sums, const std::string& kind) {
  CallSum all;
  const auto found = sums.calls.find(kind);
  if (found == sums.calls.end()) return all;
  for (const CallSum& place : found->second) all.add(place);
  return all;
}

void add_collective(const std::string& kind, std::optional<int> place, const CallSum& a, double a_steps,
                    const CallSum& b, double b_steps, std::vector<CollectiveDifference>& all) {
  all.push_back({kind, place, a.bytes / a_steps, b.bytes / b_steps, a.seconds / a_steps, b.seconds / b_steps,
                 a.wait_s / a_steps, b.wait_s / b_steps, a.count / a_steps, b.count / b_steps});
}

void compare_collectives(const RunSums& a, const RunSums& b, RunDifference& difference) {
  std::set<std::string> kinds;
  for (const auto& [kind, places] : a.calls) kinds.insert(kind);
  for (const auto& [kind, places] : b.calls) kinds.insert(kind);
  for (const std::string& kind : kinds) {
    const bool same = is_steady(a, kind) && is_steady(b, kind) && a.calls.at(kind).size() == b.calls.at(kind).size();
    if (!same) {
      const CallSum in_a = all_of(a, kind), in_b = all_of(b, kind);
      add_collective(kind, std::nullopt, in_a, a.steps, in_b, b.steps, difference.collectives);
      if (in_a.count > 0 && in_b.count > 0) {
        difference.remarks.push_back("Both have " + kind +
                                     ", but not as many in each step: all of them are compared together.");
      }
      continue;
    }
    for (std::size_t i = 0; i < a.calls.at(kind).size(); ++i) {
      add_collective(kind, static_cast<int>(i), a.calls.at(kind)[i], a.steps, b.calls.at(kind)[i], b.steps,
                     difference.collectives);
    }
  }
}

template <class T>
void largest_first(std::vector<T>& rows) {
  std::stable_sort(rows.begin(), rows.end(),
                   [](const T& x, const T& y) { return std::abs(x.b_s - x.a_s) > std::abs(y.b_s - y.a_s); });
}

}  // namespace

RunDifference run_difference(const Profile& profile_a, std::int64_t run_a, const Profile& profile_b,
                             std::int64_t run_b) {
  const RunSums a = sums_of(profile_a, run_a), b = sums_of(profile_b, run_b);
  RunDifference difference;
  difference.a_step_s = a.parts.mean_s(a.parts.total_ns), difference.b_step_s = b.parts.mean_s(b.parts.total_ns);
  for (int p = 0; p < kTimeParts; ++p) {
    const auto part = static_cast<TimePart>(p);
    const std::int64_t in_a = a.parts.ns[part], in_b = b.parts.ns[part];
    if (in_a > 0 || in_b > 0) difference.parts.push_back({part, a.parts.mean_s(in_a), b.parts.mean_s(in_b)});
  }
  const bool phases = a.phases && b.phases;
  std::map<FamilyKey, FamilyDifference> families;
  add_families(a, phases, &FamilyDifference::a_s, &FamilyDifference::a_count, families);
  add_families(b, phases, &FamilyDifference::b_s, &FamilyDifference::b_count, families);
  for (auto& [key, family] : families) difference.families.push_back(std::move(family));
  compare_collectives(a, b, difference);
  largest_first(difference.families);
  largest_first(difference.collectives);
  if (!phases && (a.phases || b.phases))
    difference.remarks.emplace_back("One of the two does not say the phase of its work: phases are taken together.");
  for (const auto* run : {&a, &b}) {
    for (const std::string& remark : run->breakdown.remarks)
      difference.remarks.push_back(std::string(run == &a ? "A: " : "B: ") + remark);
  }
  return difference;
}

}  // namespace shardscope
