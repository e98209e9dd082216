#include "profiler/query/step_causes.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>

#include "core/error.h"
#include "profiler/store/chunks.h"
#include "profiler/store/step_parts.h"

namespace shardscope {
namespace {

/// What the division of a step asks of an op.
struct OpRole {
  bool communication = false, computes = false;
};

using SlicesOfSteps = std::map<std::int64_t, std::vector<ActiveSlice>>;

/// The slices of one rank after the other. What all ranks share is read once: asked for rank by rank, a run of
/// thousands would look through all its lanes thousands of times.
class RankSlices {
 public:
  RankSlices(const Profile& profile, std::int64_t run) : profile_(profile) {
    for (Rows rows = profile.rows("SELECT rank, program FROM rank WHERE run = ?", {Value(run)}); rows.next();)
      ranks_[rows.small(0)].program = rows.integer(1);
    for (Rows rows = profile.rows("SELECT rank, id FROM track WHERE run = ?", {Value(run)}); rows.next();)
      ranks_[rows.small(0)].tracks.push_back(rows.integer(1));
  }

  /// Compute, and of communication the part that moves; nothing if the rank has no slices at all.
  std::optional<SlicesOfSteps> read(int rank) {
    const Of& of = ranks_[rank];
    if (of.tracks.empty()) return std::nullopt;
    const std::vector<OpRole>& roles = roles_of(of.program);
    SlicesOfSteps slices;
    for (std::int64_t track : of.tracks) add_track(track, roles, slices);
    return slices;
  }

 private:
  struct Of {
    std::int64_t program = 0;
    std::vector<std::int64_t> tracks;
  };
  const std::vector<OpRole>& roles_of(std::int64_t program);
  void add_track(std::int64_t track, const std::vector<OpRole>& roles, SlicesOfSteps& slices) const;

  const Profile& profile_;
  std::map<int, Of> ranks_;
  std::map<std::int64_t, std::vector<OpRole>> roles_;  ///< by program
};

const std::vector<OpRole>& RankSlices::roles_of(std::int64_t program) {
  const auto [known, is_new] = roles_.try_emplace(program);
  std::vector<OpRole>& roles = known->second;
  if (!is_new) return roles;
  Rows rows =
      profile_.rows("SELECT op, kind, lane, communication FROM op WHERE program = ? ORDER BY op", {Value(program)});
  while (rows.next()) {
    if (rows.integer(0) != static_cast<std::int64_t>(roles.size()))
      throw Error(ErrorKind::kParse, profile_.path() + ": damaged (ops of a program have gaps)");
    const std::string kind = rows.text(1);
    const bool works = kind != "alloc" && kind != "free" && kind != "hold", communication = rows.integer(3) != 0;
    roles.push_back({communication, works && !communication && rows.text(2) == to_string(Lane::kCompute)});
  }
  return roles;
}

void RankSlices::add_track(std::int64_t track, const std::vector<OpRole>& roles, SlicesOfSteps& slices) const {
  Rows rows = profile_.rows("SELECT start_ns, data FROM slice_chunk WHERE track = ?", {Value(track)});
  while (rows.next()) {
    const bool whole = decode_slices(rows.bytes(1), rows.integer(0), [&](const SliceEvent& e) {
      const auto op = static_cast<std::size_t>(e.op.index);
      if (e.op.index < 0 || op >= roles.size() || !(roles[op].communication || roles[op].computes)) return;
      const std::int64_t waits = roles[op].communication ? std::min(e.wait_ns, e.duration_ns) : 0;
      slices[e.step].push_back({e.op.index, roles[op].computes ? Activity::kCompute : Activity::kCommunication,
                                e.start_ns + waits, e.start_ns + e.duration_ns});
    });
    if (!whole) throw Error(ErrorKind::kParse, profile_.path() + ": damaged (slice_chunk.data)");
  }
}

/// Of the exposed communication of a step what is not moving.
std::int64_t straggler_ns(const std::vector<ActiveSlice>& slices, TimeWindow step, std::int64_t exposed_ns) {
  const DividedStep divided = divide_step(slices, step.begin_ns, step.length(), [](std::int32_t, std::int64_t) {});
  const std::int64_t moving = divided.part_ns[static_cast<std::size_t>(Activity::kCommunication)];
  return std::clamp<std::int64_t>(exposed_ns - moving, 0, std::max<std::int64_t>(0, exposed_ns));
}

void add_rank(const Profile& profile, std::int64_t run, int rank, const std::optional<SlicesOfSteps>& slices,
              std::vector<StepCauses>& causes) {
  const std::vector<ActiveSlice> none;
  Rows rows = profile.rows(
      "SELECT step, start_ns, dur_ns, compute_ns, optimizer_ns, load_ns, exposed_communication_ns, offload_ns FROM "
      "step WHERE run = ? AND rank = ? ORDER BY step",
      {Value(run), Value(std::int64_t{rank})});
  while (rows.next()) {
    const std::int64_t begin = rows.integer(1), length = rows.integer(2), exposed = rows.integer(6);
    std::int64_t waits = 0;  // where nothing says what communication did, it is not said to wait
    if (slices) {
      const auto found = slices->find(rows.integer(0));
      waits = straggler_ns(found == slices->end() ? none : found->second, {begin, begin + length}, exposed);
    }
    StepCauses step{rank,
                    rows.integer(0),
                    {rows.integer(3), rows.integer(4), rows.integer(5), exposed - waits, waits, rows.integer(7), 0}};
    step.ns.back() = length - std::accumulate(step.ns.begin(), step.ns.end(), std::int64_t{0});
    causes.push_back(step);
  }
}

using ByStep = std::map<std::pair<int, std::int64_t>, CauseTimes>;

ByStep by_step(const Profile& profile, std::int64_t run, const std::vector<int>& ranks) {
  ByStep times;
  for (const StepCauses& step : step_causes(profile, run, ranks)) times[{step.rank, step.step}] = step.ns;
  return times;
}

void add(const CauseTimes& from, CauseTimes& to) {
  for (std::size_t i = 0; i < from.size(); ++i) to[i] += from[i];
}

std::vector<int> chosen_ranks(const RunAlignment& alignment, int rank) {
  if (rank < 0) return alignment.ranks;
  if (std::find(alignment.ranks.begin(), alignment.ranks.end(), rank) != alignment.ranks.end()) return {rank};
  throw Error(ErrorKind::kConfig, "there is no rank " + std::to_string(rank) + " that both runs have");
}

}  // namespace

std::string_view to_string(Cause cause) {
  constexpr std::array<std::string_view, kCauses> kNames = {
      "compute", "optimizer",        "loading data", "exposed communication", "waiting for a straggler",
      "offload", "launch gaps, idle"};
  return kNames[static_cast<std::size_t>(cause)];
}

std::vector<StepCauses> step_causes(const Profile& profile, std::int64_t run, const std::vector<int>& ranks) {
  std::vector<StepCauses> causes;
  RankSlices slices(profile, run);
  for (int rank : ranks) add_rank(profile, run, rank, slices.read(rank), causes);
  return causes;
}

std::int64_t StepDifference::difference_ns() const {
  return std::accumulate(a.begin(), a.end(), std::int64_t{0}) - std::accumulate(b.begin(), b.end(), std::int64_t{0});
}

StepDifference step_difference(const Profile& profile_a, std::int64_t run_a, const Profile& profile_b,
                               std::int64_t run_b, const RunAlignment& alignment, const DifferenceOf& what) {
  const std::vector<int> ranks = chosen_ranks(alignment, what.rank);
  const ByStep in_a = by_step(profile_a, run_a, ranks), in_b = by_step(profile_b, run_b, ranks);
  StepDifference sum;
  sum.ranks = static_cast<std::int64_t>(ranks.size());
  for (std::size_t i = what.step < 0 ? first_counted(alignment) : 0; i < alignment.steps.size(); ++i) {
    const AlignedStep& step = alignment.steps[i];
    if (what.step >= 0 && step.a_step != what.step) continue;
    bool whole = true;
    for (int rank : ranks)
      whole = whole && in_a.count({rank, step.a_step}) != 0 && in_b.count({rank, step.b_step}) != 0;
    if (!whole) continue;  // a rank that was killed in it
    ++sum.steps;
    for (int rank : ranks) {
      add(in_a.at({rank, step.a_step}), sum.a);
      add(in_b.at({rank, step.b_step}), sum.b);
    }
  }
  if (sum.steps > 0) return sum;
  throw Error(ErrorKind::kConfig, what.step < 0 ? "there is no step that all ranks of both runs have finished"
                                                : "step " + std::to_string(what.step) + " has none beside it");
}

}  // namespace shardscope
