#include "profiler/query/step_breakdown.h"

namespace shardscope {
namespace {

constexpr double kNs = 1e-9;

/// Reads eight columns from `first` on, in ns, in the order of kParts.
Breakdown breakdown_of(const Rows& rows, int first) {
  Breakdown b;
  double* const fields[] = {&b.compute_s, &b.optimizer_s, &b.load_s,  &b.exposed_communication_s,
                            &b.offload_s, &b.idle_s,      &b.total_s, &b.communication_s};
  for (double* field : fields) *field = rows.real(first++) * kNs;
  return b;
}

}  // namespace

std::vector<RankBreakdown> step_breakdown(const Profile& profile, std::int64_t run) {
  std::vector<RankBreakdown> ranks;
  Rows rows = profile.rows(
      "SELECT rank, steps, compute_ns, optimizer_ns, load_ns, exposed_communication_ns, offload_ns, idle_ns, total_ns, "
      "communication_ns FROM step_mean WHERE run = ? ORDER BY rank",
      {Value(run)});
  while (rows.next()) ranks.push_back({rows.small(0), rows.integer(1), breakdown_of(rows, 2)});
  return ranks;
}

Breakdown mean_breakdown(const Profile& profile, std::int64_t run) {
  Breakdown mean;
  const std::vector<RankBreakdown> ranks = step_breakdown(profile, run);
  for (const RankBreakdown& rank : ranks) {
    const double share = 1.0 / static_cast<double>(ranks.size());
    mean.compute_s += rank.mean.compute_s * share;
    mean.optimizer_s += rank.mean.optimizer_s * share;
    mean.load_s += rank.mean.load_s * share;
    mean.exposed_communication_s += rank.mean.exposed_communication_s * share;
    mean.offload_s += rank.mean.offload_s * share;
    mean.idle_s += rank.mean.idle_s * share;
    mean.total_s += rank.mean.total_s * share;
    mean.communication_s += rank.mean.communication_s * share;
  }
  return mean;
}

std::vector<StepParts> step_breakdown_by_step(const Profile& profile, std::int64_t run) {
  std::vector<StepParts> steps;
  Rows rows = profile.rows(
      "SELECT rank, step, compute_ns, optimizer_ns, load_ns, exposed_communication_ns, offload_ns, idle_ns, dur_ns, "
      "communication_ns FROM step WHERE run = ? ORDER BY rank, step",
      {Value(run)});
  while (rows.next()) steps.push_back({rows.small(0), rows.integer(1), breakdown_of(rows, 2)});
  return steps;
}

}  // namespace shardscope
