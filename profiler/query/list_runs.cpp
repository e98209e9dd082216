#include "profiler/query/list_runs.h"

#include <algorithm>
#include <charconv>

#include "core/error.h"

namespace shardscope {
namespace {

constexpr const char* kRunSql =
    "SELECT r.id, r.name, r.predicted, r.status, r.framework, r.model, r.started_at, r.world, r.zero_stage, "
    "(SELECT count(DISTINCT step) FROM step s WHERE s.run = r.id), r.parameters, r.tokens_per_step, r.flops_per_token, "
    "r.peak_flops_per_rank, r.device_memory_limit, (SELECT count(*) FROM diagnostic d WHERE d.run = r.id), r.key "
    "FROM run r ORDER BY r.id";

RunRow run_of(const Rows& rows) {
  RunRow run;
  run.id = rows.integer(0);
  run.name = rows.text(1);
  run.predicted = rows.integer(2) != 0;
  run.status = rows.text(3);
  run.framework = rows.text(4);
  run.model = rows.text(5);
  run.started_at = rows.text(6);
  run.world = rows.small(7);
  run.zero_stage = rows.small(8);
  run.steps = rows.integer(9);
  run.parameters = rows.integer(10);
  run.tokens_per_step = rows.integer(11);
  run.flops_per_token = rows.real(12);
  run.peak_flops_per_rank = rows.real(13);
  run.device_memory_limit = rows.integer(14);
  run.problems = rows.integer(15);
  run.key = rows.text(16);
  return run;
}

std::string names_of(const std::vector<RunRow>& runs) {
  constexpr std::size_t kShown = 20;
  std::string text;
  for (std::size_t i = 0; i < runs.size() && i < kShown; ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(runs[i].id) + " (" + runs[i].name +
            (runs[i].predicted ? ", predicted)" : ")");
  }
  return runs.size() > kShown ? text + ", ..." : text;
}

}  // namespace

std::vector<RunRow> list_runs(const Profile& profile) {
  std::vector<RunRow> runs;
  for (Rows rows = profile.rows(kRunSql); rows.next();) runs.push_back(run_of(rows));
  return runs;
}

RunRow find_run(const Profile& profile, const std::string& name_or_id) {
  const std::vector<RunRow> runs = list_runs(profile);
  if (runs.empty()) throw Error(ErrorKind::kConfig, profile.path() + ": holds no runs");
  const RunRow* best = nullptr;
  for (const RunRow& run : runs) {
    if (run.name == name_or_id && (best == nullptr || best->predicted || !run.predicted)) best = &run;
  }
  std::int64_t id = 0;
  const char* end = name_or_id.data() + name_or_id.size();
  const auto parsed = std::from_chars(name_or_id.data(), end, id);
  if (parsed.ec == std::errc() && parsed.ptr == end) {
    for (const RunRow& run : runs) {
      if (run.id == id) best = &run;
    }
  }
  if (best == nullptr) {
    throw Error(ErrorKind::kConfig,
                profile.path() + ": has no run '" + name_or_id + "'; its runs are " + names_of(runs));
  }
  return *best;
}

RunRow find_run_or_first(const Profile& profile, const std::string& name_or_id) {
  if (!name_or_id.empty()) return find_run(profile, name_or_id);
  const std::vector<RunRow> runs = list_runs(profile);
  if (runs.empty()) throw Error(ErrorKind::kConfig, profile.path() + ": holds no runs");
  const auto measured = std::find_if(runs.begin(), runs.end(), [](const RunRow& r) { return !r.predicted; });
  return measured == runs.end() ? runs.front() : *measured;
}

std::vector<RankRow> list_ranks(const Profile& profile, std::int64_t run) {
  std::vector<RankRow> ranks;
  Rows rows = profile.rows(
      "SELECT k.rank, k.rss_bytes, p.space, sum(p.at_peak_bytes) FROM rank k LEFT JOIN memory_peak p ON p.run = k.run "
      "AND p.rank = k.rank WHERE k.run = ? GROUP BY k.rank, p.space ORDER BY k.rank",
      {Value(run)});
  while (rows.next()) {
    const int rank = rows.small(0);
    if (ranks.empty() || ranks.back().rank != rank) ranks.push_back({rank, rows.integer(1), {}});
    if (rows.is_null(2)) continue;
    const auto space = from_name<Space>(rows.text(2));
    if (!space)
      throw Error(ErrorKind::kParse, profile.path() + ": damaged (memory_peak.space is '" + rows.text(2) + "')");
    ranks.back().peak_bytes[static_cast<std::size_t>(*space)] = rows.integer(3);
  }
  return ranks;
}

std::vector<std::string> list_diagnostics(const Profile& profile, std::int64_t run) {
  std::vector<std::string> lines;
  Rows rows = profile.rows("SELECT rank, count, text FROM diagnostic WHERE run = ? ORDER BY id", {Value(run)});
  while (rows.next()) {
    const int rank = rows.small(0);
    const std::int64_t count = rows.integer(1);
    lines.push_back((rank < 0 ? "" : "rank " + std::to_string(rank) + ": " + std::to_string(count) + " ") +
                    rows.text(2));
  }
  return lines;
}

}  // namespace shardscope
