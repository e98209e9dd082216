#include "profiler/query/op_seconds.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "core/error.h"
#include "profiler/query/step_times.h"
#include "profiler/store/chunks.h"

namespace shardscope {
namespace {

constexpr std::int64_t kMostOps = std::int64_t{1} << 28;  // a damaged count asks for no more memory than this

[[noreturn]] void fail_damaged(const Profile& profile, const char* what) {
  throw Error(ErrorKind::kParse, profile.path() + ": damaged (" + what + ")");
}

/// Steps whose slices count: RankSeconds::seconds. Empty: all of them, as no step has ended.
std::set<std::int64_t> middling_steps(const Profile& profile, std::int64_t run) {
  std::vector<std::pair<std::int64_t, std::int64_t>> steps;  // by number: duration of the slowest rank, step
  Rows rows =
      profile.rows("SELECT step, max(dur_ns) FROM step WHERE run = ? GROUP BY step ORDER BY step", {Value(run)});
  while (rows.next()) steps.emplace_back(rows.integer(1), rows.integer(0));
  if (steps.size() >= 3) steps.erase(steps.begin());
  std::sort(steps.begin(), steps.end());
  std::set<std::int64_t> middle;
  const std::size_t cut = steps.size() / 4;
  for (std::size_t i = cut; i < steps.size() - cut; ++i) middle.insert(steps[i].second);
  return middle;
}

double mean(const std::vector<double>& values) {
  if (values.empty()) return 0;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Slices of the compute lane by start.
double median_gap(std::vector<SliceEvent> slices) {
  std::sort(slices.begin(), slices.end(), [](const auto& a, const auto& b) { return a.start_ns < b.start_ns; });
  std::vector<double> gaps;
  for (std::size_t i = 1; i < slices.size(); ++i) {
    const SliceEvent &before = slices[i - 1], &next = slices[i];
    const double gap = static_cast<double>(next.start_ns) - static_cast<double>(before.start_ns) -
                       static_cast<double>(before.duration_ns);
    if (before.step == next.step) gaps.push_back(std::max(gap, 0.0) * 1e-9);
  }
  return quantile(std::move(gaps), 0.5);
}

void read_slices(const Profile& profile, std::int64_t run, const std::set<std::int64_t>& steps, RankSeconds& rank) {
  std::vector<std::vector<double>> all(rank.seconds.size());
  std::vector<SliceEvent> computes;
  Rows rows = profile.rows(
      "SELECT c.start_ns, c.data, t.lane FROM slice_chunk c JOIN track t ON t.id = c.track WHERE t.run = ? AND t.rank "
      "= ?",
      {Value(run), Value(std::int64_t{rank.rank})});
  while (rows.next()) {
    const bool is_compute = rows.text(2) == to_string(Lane::kCompute);
    const bool whole = decode_slices(rows.bytes(1), rows.integer(0), [&](const SliceEvent& event) {
      if (event.op.index < 0 || static_cast<std::size_t>(event.op.index) >= all.size()) {
        fail_damaged(profile, "slice_chunk.data names an op that its program does not have");
      }
      if (!steps.empty() && !steps.contains(event.step)) return;
      if (is_compute) computes.push_back(event);
      const double moving = static_cast<double>(event.duration_ns) - static_cast<double>(event.wait_ns);
      all[static_cast<std::size_t>(event.op.index)].push_back(std::max(moving, 0.0) * 1e-9);
    });
    if (!whole) fail_damaged(profile, "slice_chunk.data");
  }
  rank.lane_gap_s = median_gap(std::move(computes));
  for (std::size_t op = 0; op < all.size(); ++op) {
    rank.seconds[op] = mean(all[op]);
    rank.quick_seconds[op] = quantile(std::move(all[op]), 0.25);
  }
}

}  // namespace

std::vector<RankSeconds> op_seconds(const Profile& profile, std::int64_t run) {
  const std::set<std::int64_t> steps = middling_steps(profile, run);
  std::vector<RankSeconds> ranks;
  Rows rows = profile.rows(
      "SELECT k.rank, p.hash, p.ops FROM rank k JOIN program p ON p.id = k.program WHERE k.run = ? ORDER BY k.rank",
      {Value(run)});
  while (rows.next()) {
    const std::int64_t ops = rows.integer(2);
    if (ops < 0 || ops > kMostOps) fail_damaged(profile, "program.ops");
    const std::vector<double> none(static_cast<std::size_t>(ops));
    ranks.push_back({rows.small(0), rows.integer(1), none, none});
    read_slices(profile, run, steps, ranks.back());
  }
  return ranks;
}

std::string job_record(const Profile& profile, std::int64_t run) {
  Rows rows = profile.rows("SELECT job_json FROM run WHERE id = ?", {Value(run)});
  return rows.next() ? rows.text(0) : std::string();
}

}  // namespace shardscope
