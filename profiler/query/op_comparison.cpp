#include "profiler/query/op_comparison.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.h"

namespace shardscope {
namespace {

/// Hash of the program that a rank of a run executes.
std::int64_t program_hash(const Profile& profile, std::int64_t run, int rank) {
  Rows rows =
      profile.rows("SELECT p.hash FROM rank k JOIN program p ON p.id = k.program WHERE k.run = ? AND k.rank = ?",
                   {Value(run), Value(std::int64_t{rank})});
  if (rows.next()) return rows.integer(0);
  throw Error(ErrorKind::kConfig,
              profile.path() + ": run " + std::to_string(run) + " has no rank " + std::to_string(rank));
}

std::map<std::int64_t, double> mean_times(const Profile& profile, std::int64_t run, int rank) {
  std::map<std::int64_t, double> times;
  Rows rows = profile.rows("SELECT op, total_ns * 1e-9 / count FROM op_time WHERE run = ? AND rank = ? AND count > 0",
                           {Value(run), Value(std::int64_t{rank})});
  while (rows.next()) times[rows.integer(0)] = rows.real(1);
  return times;
}

}  // namespace

std::vector<OpComparison> op_comparison(const Profile& profile_a, std::int64_t run_a, const Profile& profile_b,
                                        std::int64_t run_b, int rank) {
  if (program_hash(profile_a, run_a, rank) != program_hash(profile_b, run_b, rank)) {
    throw Error(ErrorKind::kConfig, "run " + std::to_string(run_a) + " of " + profile_a.path() + " and run " +
                                        std::to_string(run_b) + " of " + profile_b.path() +
                                        " execute different programs on rank " + std::to_string(rank) +
                                        "; only runs of the same job can be compared op by op");
  }
  const std::map<std::int64_t, double> b_times = mean_times(profile_b, run_b, rank);
  std::vector<OpComparison> ops;
  Rows rows = profile_a.rows(
      "SELECT o.op, o.kind, o.phase, o.name, o.layer, o.micro_batch, t.total_ns * 1e-9 / t.count FROM op_time t "
      "JOIN rank k ON k.run = t.run AND k.rank = t.rank JOIN op o ON o.program = k.program AND o.op = t.op "
      "WHERE t.run = ? AND t.rank = ? AND t.count > 0",
      {Value(run_a), Value(std::int64_t{rank})});
  while (rows.next()) {
    const auto b = b_times.find(rows.integer(0));
    if (b == b_times.end()) continue;
    ops.push_back({rows.integer(0), rows.text(1), rows.text(2), rows.text(3), rows.small(4), rows.small(5),
                   rows.real(6), b->second});
  }
  const auto difference = [](const OpComparison& op) { return std::abs(op.a_mean_s - op.b_mean_s); };
  std::stable_sort(ops.begin(), ops.end(),
                   [&](const OpComparison& x, const OpComparison& y) { return difference(x) > difference(y); });
  return ops;
}

}  // namespace shardscope
