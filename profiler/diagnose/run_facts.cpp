#include "profiler/diagnose/run_facts.h"

#include <algorithm>

#include "core/error.h"
#include "core/spec/json_reader.h"
#include "profiler/query/op_seconds.h"
#include "profiler/query/rank_work.h"

namespace shardscope {
namespace {

const char* const kOnDevice = "o.lane NOT IN ('host_api', 'other') AND o.kind NOT IN ('alloc', 'free', 'hold')";

void gather_communication(const Profile& profile, RunFacts& facts) {
  const double each = facts.rank_steps();
  Rows rows = profile.rows(
      "SELECT o.kind, o.phase, o.group_name, o.group_size, sum(t.count), sum(t.count * 1.0 * "
      "coalesce(o.collective_bytes, "
      "0)), sum(t.total_ns), sum(t.wait_ns), coalesce(sum(t.exposed_ns), 0) FROM op_time t JOIN rank k ON k.run = "
      "t.run "
      "AND k.rank = t.rank JOIN op o ON o.program = k.program AND o.op = t.op WHERE t.run = ? AND o.communication = 1 "
      "GROUP BY o.kind, o.phase, o.group_name, o.group_size ORDER BY sum(t.exposed_ns) DESC",
      {Value(facts.run.id)});
  while (rows.next()) {
    CommunicationFact c;
    c.kind = rows.text(0), c.phase = rows.text(1);
    if (!rows.is_null(2)) c.group = rows.text(2);
    if (!rows.is_null(3)) c.ranks = rows.small(3);
    const double count = rows.real(4);
    if (count <= 0) continue;
    c.count = count / each, c.mean_bytes = rows.real(5) / count;
    c.seconds = 1e-9 * rows.real(6) / each, c.wait_s = 1e-9 * rows.real(7) / each;
    c.exposed_s = 1e-9 * rows.real(8) / each;
    facts.communication.push_back(std::move(c));
  }
}

void gather_calls(const Profile& profile, RunFacts& facts) {
  const double each = facts.rank_steps();
  Rows rows = profile.rows(
      "SELECT o.kind, o.name, sum(t.count), sum(t.total_ns) FROM op_time t JOIN rank k ON k.run = t.run AND k.rank = "
      "t.rank JOIN op o ON o.program = k.program AND o.op = t.op WHERE t.run = ? AND o.kind IN ('runtime', 'driver') "
      "GROUP BY o.kind, o.name ORDER BY sum(t.total_ns) DESC",
      {Value(facts.run.id)});
  while (rows.next()) {
    const std::optional<HostKind> kind = host_kind(rows.text(0), rows.text(1));
    if (kind != HostKind::kSync && kind != HostKind::kAllocation) continue;
    facts.calls.push_back({rows.text(1), *kind, rows.real(2) / each, 1e-9 * rows.real(3) / each});
  }
}

void gather_kernels(const Profile& profile, RunFacts& facts) {
  facts.roof = device_roof(profile, facts.run.id);
  facts.kernels = kernel_times(profile, facts.run.id, facts.roof);
  facts.copies = copy_traffic(profile, facts.run.id);
  const double each = facts.rank_steps();
  double total = 0;
  Rows rows = profile.rows(
      std::string("SELECT o.kind, o.name, o.phase, sum(t.count), sum(t.total_ns) FROM op_time t JOIN rank k ON k.run = "
                  "t.run AND k.rank = t.rank JOIN op o ON o.program = k.program AND o.op = t.op WHERE t.run = ? AND "
                  "o.communication = 0 AND ") +
          kOnDevice + " GROUP BY o.kind, o.name, o.phase",
      {Value(facts.run.id)});
  while (rows.next()) {
    const double seconds = 1e-9 * rows.real(4) / each, count = rows.real(3) / each;
    const std::string phase = rows.text(2);
    const bool optimizes = phase == to_string(Phase::kOptimizer);
    const WorkFamily family = optimizes ? WorkFamily::kOptimizer : work_family(rows.text(0), rows.text(1));
    facts.family_s[family] += seconds;
    facts.family_count[family] += count;
    if (phase == to_string(Phase::kRecompute)) facts.recompute_s += seconds;
    facts.kernel_count += count;
    total += seconds;
  }
  if (facts.kernel_count > 0) facts.kernel_mean_s = total / facts.kernel_count;
}

void gather_memory(const Profile& profile, RunFacts& facts) {
  for (const RankRow& rank : list_ranks(profile, facts.run.id))
    facts.peak_bytes = std::max(facts.peak_bytes, rank.peak_bytes[static_cast<std::size_t>(Space::kDevice)]);
  facts.limit_bytes = facts.run.device_memory_limit;
  if (facts.limit_bytes > 0 || profile.schema_version() < 4) return;
  Rows rows = profile.rows("SELECT max(memory_bytes) FROM device WHERE run = ? AND memory_bytes IS NOT NULL",
                           {Value(facts.run.id)});
  if (rows.next() && !rows.is_null(0)) facts.limit_bytes = rows.integer(0);
}

/// {"job": {...}, ...} as `train` writes it; anything else is no job.
JsonNode job_of(const Profile& profile, std::int64_t run) {
  try {
    const JsonNode record = parse_json(job_record(profile, run), "job_json");
    const JsonNode* job = record.is_object() ? record.find("job") : nullptr;
    return job == nullptr ? JsonNode() : *job;
  } catch (const Error&) {
    return {};
  }
}

const JsonNode* at_path(const JsonNode& root, std::string_view path) {
  const JsonNode* node = &root;
  while (node != nullptr && !path.empty()) {
    const std::size_t dot = std::min(path.find('.'), path.size());
    node = node->is_object() ? node->find(path.substr(0, dot)) : nullptr;
    path.remove_prefix(std::min(path.size(), dot + 1));
  }
  return node;
}

RunRow row_of(const Profile& profile, std::int64_t run) { return find_run(profile, std::to_string(run)); }

/// Reasons are CUPTI's bits: 1 idle, 2 clocks that somebody has set, 4 power cap, 8 the hardware's own (heat, supply).
void gather_slowed(const Profile& profile, RunFacts& facts) {
  if (profile.schema_version() < 7) return;
  Rows rows = profile.rows(
      "SELECT t.rank, t.device, avg((t.value & 12) <> 0), max(t.value & 4), max(t.value & 8), avg(c.value), "
      "max(c.value) FROM device_sample t JOIN device_sample c ON c.run = t.run AND c.rank = t.rank AND c.device = "
      "t.device AND c.name = 'sm_clock_mhz' AND c.time_ns = t.time_ns WHERE t.run = ? AND t.name = 'throttle_reasons' "
      "AND (t.value & 1) = 0 GROUP BY t.rank, t.device HAVING max((t.value & 12) <> 0) ORDER BY avg(c.value)",
      {Value(facts.run.id)});
  while (rows.next()) {
    facts.slowed.push_back({rows.small(0), rows.integer(1), rows.real(2), rows.integer(3) != 0, rows.integer(4) != 0,
                            rows.real(5), rows.real(6)});
  }
}

}  // namespace

std::optional<double> RunFacts::setting(std::string_view path) const {
  const JsonNode* node = at_path(job, path);
  if (node == nullptr) return std::nullopt;
  if (node->type == JsonNode::Type::kBool) return node->boolean ? 1 : 0;
  return as_real(*node);
}

std::optional<std::string> RunFacts::text_setting(std::string_view path) const {
  const JsonNode* node = at_path(job, path);
  return node == nullptr || !node->is_string() ? std::nullopt : std::optional(node->text);
}

RunFacts gather_facts(const Profile& profile, std::int64_t run) {
  RunFacts facts;
  facts.run = row_of(profile, run);
  facts.imported = !imported_files(profile, run).empty();
  facts.time = time_breakdown(profile, run);
  facts.sums = sum_of(facts.time);
  facts.step_s = facts.sums.mean_s(facts.sums.total_ns);
  for (const StepTime& s : facts.time.steps)
    if (facts.by_rank.find(s.rank) == facts.by_rank.end()) facts.by_rank[s.rank] = sum_of(facts.time, s.rank);
  facts.ranks = static_cast<int>(facts.by_rank.size());
  const MatchedCollectives matched = match_collectives(profile, run);
  facts.waits = collective_waits(matched, align_clocks(matched));
  gather_communication(profile, facts);
  gather_calls(profile, facts);
  gather_kernels(profile, facts);
  gather_memory(profile, facts);
  gather_slowed(profile, facts);
  facts.diagnostics = diagnostics(profile, run);
  facts.job = job_of(profile, run);
  return facts;
}

}  // namespace shardscope
